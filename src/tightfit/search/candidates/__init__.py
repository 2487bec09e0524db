"""Candidates: their recipes, how they are built, which are tried."""
