"""Recurrent layers that a graph has written out step by step, trained as a scan over their steps."""
