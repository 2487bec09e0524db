"""Smaller models: which weights go, which values they share, and how sparse ones are stored."""
