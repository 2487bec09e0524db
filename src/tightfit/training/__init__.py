"""The graph as a trainable Keras model: quantization-aware training, pruning, clustering, combinations."""
