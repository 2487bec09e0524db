"""How each builtin op is computed with ``keras.ops``: one row an op."""
