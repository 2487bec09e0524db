"""The facts about each builtin op that quantization needs: one row for each op."""
