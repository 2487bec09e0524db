"""What a sparsity means: which weights count, how many zeros the pruned ones take, what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tightfit.errors import OptionError, unknown_name
from tightfit.weights.patterns import UNSTRUCTURED, check_pattern

SCOPES: Final = ("file", "layer", "global")
"""``file``: of all weights in tensors of ``COUNTED`` elements or more; the pruned layers make up for those
that stay dense. ``layer``: of each pruned layer. ``global``: of the pruned layers together, by magnitude."""

COUNTED: Final = 256
"""Fewest elements of a weight tensor that counts."""

LARGE: Final = 1024
"""Elements from which a weight tensor is pruned: smaller ones are few weights, which matter more."""

_MOST: Final = 0.98
"""Most zeros of a pruned layer: of fewer weights than this leaves little is left of a layer."""


def smallest_pruned(sizes: Iterable[int]) -> int:
    """Return the elements from which the weight tensors of a network are pruned.

    ``LARGE``, but ``COUNTED`` in a network of small layers, where tensors of ``LARGE`` elements hold less
    than half of the weights that count.

    Args:
        sizes: of the weight tensors that may be pruned.

    Example:
        >>> smallest_pruned([9216, 512]), smallest_pruned([512, 768])
        (1024, 256)
    """
    counted = [size for size in sizes if size >= COUNTED]
    large = sum(size for size in counted if size >= LARGE)
    return LARGE if 2 * large >= sum(counted) else COUNTED


def check_zeros(sparsity: float, pattern: str, scope: str) -> None:
    """Check that a sparsity can have a pattern and a scope.

    Args:
        sparsity: fraction of zeros, 0–1.
        pattern: see ``patterns.check_pattern``.
        scope: one of ``SCOPES``.

    Raises:
        OptionError: a word is unknown, or two of them contradict each other.

    Example:
        >>> check_zeros(0.5, "2:4", "layer")
    """
    check_pattern(pattern)
    if scope not in SCOPES:
        raise OptionError(unknown_name("scope", scope, SCOPES))
    if scope == "global" and pattern != UNSTRUCTURED:
        raise OptionError(
            f"Global sparsity is unstructured; received the pattern '{pattern}'. Use scope 'layer'."
        )
    if sparsity > most_zeros(pattern) + 1e-9:
        raise OptionError(
            f"The pattern {pattern} leaves at most {most_zeros(pattern):.3g} of zeros; received the sparsity "
            f"{sparsity:g}. Ask for that, or take another pattern."
        )


def most_zeros(pattern: str) -> float:
    """Return the largest fraction of zeros that a pattern can have.

    Example:
        >>> most_zeros("2:4"), most_zeros("1x4")
        (0.5, 1.0)
    """
    few, colon, many = pattern.partition(":")
    return 1.0 - int(few) / int(many) if colon else 1.0


def layer_sparsity(sparsity: float, pruned: int, counted: int, pattern: str = UNSTRUCTURED) -> float:
    """Return the sparsity of the pruned layers that gives the file its own: ``sparsity · counted / pruned``.

    It is at most 0.98, and at most what the pattern has.

    Args:
        sparsity: of the weights that count.
        pruned: number of weights in the pruned layers.
        counted: number of weights that count, those of the pruned layers among them.
        pattern: pattern of the zeros.

    Example:
        >>> round(layer_sparsity(0.8, 90, 100), 3), layer_sparsity(0.8, 50, 100)
        (0.889, 0.98)
    """
    most = max(min(_MOST, most_zeros(pattern)), min(sparsity, most_zeros(pattern)))
    return min(sparsity * counted / max(pruned, 1), most)
