"""The order of weight transforms during training: ``Mask``, ``Cluster``, then the plan's fake-quantizers.

PQAT is ``[Mask]`` with a plan, CQAT ``[Cluster]`` with a plan, PCQAT both. A transform belongs to one
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tightfit.errors import OptionError
from tightfit.training.transforms.mask import Mask
from tightfit.training.transforms.shared_values import Cluster

_ORDER: Final = (Mask, Cluster)


def check_order(transforms: Sequence[Any]) -> tuple[Any, ...]:
    """Return the transforms unchanged when each comes at most once, ``Mask`` before ``Cluster``.

    Raises:
        OptionError: the order differs, or an item is not a transform.

    Example:
        >>> [type(t).__name__ for t in check_order([Mask(0.5), Cluster(16)])]
        ['Mask', 'Cluster']
    """
    places = [_ORDER.index(type(t)) if type(t) in _ORDER else -1 for t in transforms]
    if -1 in places or sorted(set(places)) != places:
        names = ", ".join(type(t).__name__ for t in transforms)
        raise OptionError(f"Transforms are Mask, Cluster, in this order and each once; received {names}.")
    return tuple(transforms)


def check_sites(transforms: Sequence[Any]) -> None:
    """Check that each transform of a network has found weights to change.

    Raises:
        OptionError: every weight is too small.
    """
    for transform in transforms:
        prunes = isinstance(transform, Mask)
        if not (transform.sites if prunes else getattr(transform, "trained", True)):
            raise OptionError(
                f"Nothing to {'prune' if prunes else 'cluster'}: no weights with at least "
                f"{transform.smallest} elements; leave out {'the sparsity' if prunes else 'the clusters'}."
            )


__all__ = ["Cluster", "Mask", "check_order", "check_sites"]
