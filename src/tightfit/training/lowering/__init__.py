"""Lowerings of builtin ops to ``keras.ops``: one row for each op."""
