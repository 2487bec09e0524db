"""Boards that files of a search are measured on, and the choice for each and for all of them."""
