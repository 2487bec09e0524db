"""The tables with which DECODE walks a Huffman tree.

A table of 2ʷ entries is indexed by the next w bits. An entry is either a symbol with the number of those
bits that its code uses, or the width of the next table and how far behind the entry that table begins:

    16 bits: found (1) | bits used, or width − 1 (4) | symbol, or distance (11)
    32 bits: found (1) | bits used, or width − 1 (4) | symbol, or distance (27)

Source: tflite-micro, ``decode_state_huffman.h``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.types import Array

_WIDEST: Final = 10
_COUNT_BITS: Final = 4


@dataclass(frozen=True, eq=False)
class Leaf:
    """The end of a code: a symbol."""

    symbol: int


@dataclass(frozen=True, eq=False)
class HuffmanNode:
    """A fork: the tree behind a bit 0 and the one behind a bit 1."""

    left: Tree
    right: Tree


Tree = Leaf | HuffmanNode


def first_bits(tree: Tree) -> int:
    """Return the width of the first table, in bits."""
    return _fewest(tree)[1]


def decoder_tables(tree: Tree, *, wide: bool) -> Array | None:
    """Return all tables, the first one first; None where a distance is larger than an entry holds.

    Args:
        tree: with two symbols or more.
        wide: entries of 32 bits, for int16; else of 16, for int8.
    """
    bits = 27 if wide else 11
    entries: list[int] = []
    waiting: list[tuple[Tree, int | None]] = [(tree, None)]
    while waiting:
        node, pointer = waiting.pop(0)
        if pointer is not None:
            distance = len(entries) - pointer
            if distance >> bits:
                return None
            entries[pointer] = (first_bits(node) - 1) << bits | distance
        for below, used in _entries(node, first_bits(node)):
            if isinstance(below, Leaf):
                symbol = below.symbol & (0xFFFF if wide else 0xFF)
                entries.append(1 << (bits + _COUNT_BITS) | used << bits | symbol)
            else:
                waiting.append((below, len(entries)))
                entries.append(0)
    return np.array(entries, np.uint32 if wide else np.uint16)


def _entries(node: Tree, width: int, used: int = 0) -> list[tuple[Tree, int]]:
    """The 2^width entries of a table: what follows, and the bits used; a short code fills several."""
    if width == 0:
        return [(node, used)]
    if isinstance(node, Leaf):
        return [(node, used)] * (1 << width)
    return _entries(node.left, width - 1, used + 1) + _entries(node.right, width - 1, used + 1)


@functools.lru_cache(maxsize=4096)
def _fewest(node: Tree) -> tuple[int, int]:
    """The fewest entries of all tables of a tree, and the width of its first one with which they are had."""
    if isinstance(node, Leaf):
        return 0, 0
    best = None
    level: list[Tree] = [node]
    for width in range(1, _WIDEST + 1):
        level = [child for n in level if isinstance(n, HuffmanNode) for child in (n.left, n.right)]
        if not level:
            break
        total = (1 << width) + sum(_fewest(n)[0] for n in level)
        if best is None or total <= best[0]:
            best = total, width
    assert best is not None  # noqa: S101 - a node has children
    return best
