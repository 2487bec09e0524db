"""What accelerators take of each op: limits as functions, their numbers in ``profiles.toml``."""
