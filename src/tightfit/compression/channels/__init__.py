"""Channel pruning: channel dependencies, channel importance, and the smaller dense graph."""
