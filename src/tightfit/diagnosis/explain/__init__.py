"""The explanation of a quantized file's loss: error per op, causes, and remedies that were measured."""
