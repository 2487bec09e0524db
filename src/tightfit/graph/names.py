"""Unique names of tensors. Imports nothing: the child process that runs LiteRT imports this module."""

from __future__ import annotations


def unique_names(names: list[str]) -> list[str]:
    """Return the names made unique: the second ``x`` becomes ``x#2``.

    Example:
        >>> unique_names(["x", "y", "x"])
        ['x', 'y', 'x#2']
    """
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        n = counts[name] = counts.get(name, 0) + 1
        unique.append(name if n == 1 else f"{name}#{n}")
    return unique
