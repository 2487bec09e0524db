"""The proof that the simulated integer model and LiteRT agree."""
