"""Feeds mutated files to everything in this project that reads a stranger's file."""
