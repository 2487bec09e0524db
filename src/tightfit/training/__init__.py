"""The graph as a trainable Keras model: fake-quantization, pruning, clustering and their combinations."""
