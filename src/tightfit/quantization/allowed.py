"""What a device lets a remedy use, so that neither recoveries need to know devices nor devices recoveries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tightfit.graph.ir import Model


@dataclass(frozen=True)
class Allowed:
    """What the device that a file is for takes.

    Args:
        float_macs: share of the multiply–accumulates that may become float.
        int16: it takes int16 activations.
        integers_only: what is in float runs on something else, if at all.
        accepts: whether it still takes a quantized model as it is asked to.
    """

    float_macs: float = 0.1
    int16: bool = True
    integers_only: bool = False
    accepts: Callable[[Model], bool] = lambda _: True
