"""Facts about ops that follow from the graph alone: multiply–accumulates, activations, shapes."""
