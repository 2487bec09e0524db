"""One Huffman code for several constants, which share the decoder's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tightfit.compression.decoding.encoded_weight import TABLE_BYTES, EncodedWeight
from tightfit.compression.decoding.huffman_encoding import Code, counts_of, encode_with, make_code
from tightfit.graph.ir import Tensor

_ROUNDS: Final = 4


def share_code(
    tensors: Sequence[Tensor], own: Mapping[Tensor, EncodedWeight | None]
) -> dict[Tensor, EncodedWeight]:
    """Return the constants that are smaller with a common code, encoded in it; none when it does not pay.

    A code is made for all, then again for those that gain, until these stay the same.

    Args:
        tensors: int8 constants that share no memory.
        own: the smallest form of each by itself, None where that is the constant as it is.
    """
    counts = {t: counts_of(t) for t in tensors}
    alone = {t: t.values.nbytes if own[t] is None else _size(own[t]) for t in tensors}
    chosen = list(tensors)
    for _ in range(_ROUNDS):
        code = make_code(sum((counts[t] for t in chosen), Counter()), wide=False)
        if code is None:
            return {}
        gaining = [t for t in chosen if code.bytes_of(counts[t]) + TABLE_BYTES < alone[t]]
        if len(gaining) == len(chosen):
            break
        chosen = gaining
    return _encoded(chosen, code, alone) if code is not None and len(chosen) > 1 else {}


def _encoded(
    chosen: Sequence[Tensor], code: Code, alone: Mapping[Tensor, int]
) -> dict[Tensor, EncodedWeight]:
    found = {t: encode_with(t, code) for t in chosen}
    together = len(code.ancillary) + sum(len(e.values) + TABLE_BYTES for e in found.values())
    return found if together < sum(alone[t] for t in chosen) else {}


def _size(encoded: EncodedWeight | None) -> int:
    return 0 if encoded is None else encoded.size_bytes
