"""LiteRT, the one runtime, always in a child process."""
