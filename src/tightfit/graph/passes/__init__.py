"""Passes that make a graph simpler without changing what it computes."""
