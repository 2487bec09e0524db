"""Weight transforms during training: pruning masks, clusters, and their order."""
