"""Exact rewrites that move ops of a quantized file onto an accelerator."""
