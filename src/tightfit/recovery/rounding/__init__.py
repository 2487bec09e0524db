"""Recoveries of weights: GPTQ, scales by output error, block reconstruction."""
