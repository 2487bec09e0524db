"""Huffman codes: frequent values take few bits; the decoder walks tables of 2, 4, 8 … entries.

Source: tflite-micro, ``decode_state_huffman.cc``; Huffman 1952, "A Method for the Construction of
Minimum-Redundancy Codes". The widths of the tables are those with the fewest entries in all.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.compression.decoding.encoded_weight import EncodedWeight, channel_axis, header, pack_bits
from tightfit.compression.decoding.huffman_tables import HuffmanNode, Leaf, Tree, decoder_tables, first_bits
from tightfit.graph.ir import Tensor

DTYPES: Final = frozenset({"int8", "int16"})
_KIND: Final = 1
_LONGEST: Final = 24
_WORD: Final = 4


@dataclass(frozen=True)
class Code:
    """A Huffman code.

    Args:
        words: symbol → (bits of its code, their number).
        ancillary: header and decoder tables.
    """

    words: Mapping[int, tuple[int, int]]
    ancillary: bytes

    def bytes_of(self, counts: Mapping[int, int]) -> int:
        """Return how many bytes values with these counts take, without the tables.

        Raises:
            KeyError: a value has no code.
        """
        bits = sum(count * self.words[symbol][1] for symbol, count in counts.items())
        return _padded((bits + 7) // 8)


def encode_huffman(tensor: Tensor) -> EncodedWeight | None:
    """Return a constant as codes and decoder tables; None where it has one value or needs too long codes.

    Raises:
        ValueError: DECODE cannot find the constant's channels.
    """
    channel_axis(tensor)
    code = make_code(counts_of(tensor), wide=tensor.dtype != "int8")
    return None if code is None else encode_with(tensor, code)


def encode_with(tensor: Tensor, code: Code) -> EncodedWeight:
    """Return a constant in a given code.

    Raises:
        KeyError: a value has no code.
    """
    symbols, places = np.unique(tensor.values.reshape(-1), return_inverse=True)
    words = np.array([code.words[s][0] for s in symbols.tolist()])
    lengths = np.array([code.words[s][1] for s in symbols.tolist()])
    own = lengths[places]
    ends = np.cumsum(own)
    bits = np.zeros(int(ends[-1]), np.int64)
    for bit in range(int(lengths.max())):  # the bit-th from the end of every code that is as long
        chosen = own > bit
        bits[ends[chosen] - 1 - bit] = (words[places[chosen]] >> bit) & 1
    packed = pack_bits(bits, 1)
    return EncodedWeight("huffman", packed.ljust(_padded(len(packed)), b"\0"), code.ancillary)


def counts_of(tensor: Tensor) -> Counter[int]:
    """Return how often each value occurs in a constant."""
    symbols, counts = np.unique(tensor.values, return_counts=True)
    return Counter(dict(zip(symbols.tolist(), counts.tolist(), strict=True)))


def make_code(counts: Mapping[int, int], *, wide: bool) -> Code | None:
    """Return the code of values with these counts; None for one value, or when DECODE cannot hold it.

    Args:
        counts: value → how often it occurs.
        wide: True for int16, False for int8.
    """
    if len(counts) < 2:
        return None
    tree = huffman_tree(counts)
    words = code_words(tree)
    tables = decoder_tables(tree, wide=wide)
    if tables is None or max(length for _, length in words.values()) > _LONGEST:
        return None
    own = (first_bits(tree) - 1) << 4 | int(wide)
    return Code(words, header(_KIND, own) + tables.tobytes())


def huffman_tree(counts: Mapping[int, int]) -> Tree:
    """Return the binary tree with the least total code length for symbols of these counts (two or more).

    Among equal weights the shallower subtree is joined first, which keeps the longest code short.
    """
    order = itertools.count()
    heap: list[tuple[int, int, int, Tree]] = [
        (count, 0, next(order), Leaf(symbol)) for symbol, count in sorted(counts.items())
    ]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, depth, _, low = heapq.heappop(heap)
        second, other, _, high = heapq.heappop(heap)
        heapq.heappush(heap, (first + second, max(depth, other) + 1, next(order), HuffmanNode(low, high)))
    return heap[0][3]


def code_words(tree: Tree, word: int = 0, length: int = 0) -> dict[int, tuple[int, int]]:
    """Return symbol → (code, its length in bits).

    Example:
        >>> code_words(huffman_tree({5: 3, 6: 1, 7: 1}))
        {6: (0, 2), 7: (1, 2), 5: (1, 1)}
    """
    if isinstance(tree, Leaf):
        return {tree.symbol: (word, length)}
    left = code_words(tree.left, word << 1, length + 1)
    return left | code_words(tree.right, word << 1 | 1, length + 1)


def _padded(size: int) -> int:
    """Whole words and one more: the decoder reads ahead."""
    return (size // _WORD + 2) * _WORD
