"""The comparison of the simulated integer model with LiteRT."""
