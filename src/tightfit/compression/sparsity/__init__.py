"""Weight sparsity: one-shot pruning, sparse storage, and XNNPACK's sparse inference."""
