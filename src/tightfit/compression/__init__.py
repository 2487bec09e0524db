"""Model compression: pruning, channel pruning, clustering, and the storage of sparse weights."""
