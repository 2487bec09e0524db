"""A quantized model as a source: its float graph, and the ``Plan`` that its own scales make."""
