"""Transforms of weights while they train: pruning masks, clusters, their legal order."""
