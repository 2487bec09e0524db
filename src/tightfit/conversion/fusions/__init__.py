"""Rewrites after a conversion: what a converter wrote out as many ops becomes one op again."""
