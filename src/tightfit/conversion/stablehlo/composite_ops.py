"""An op of ``.tflite`` that litert-converter has no form for, handed through it by name.

The converter keeps a composite that it does not know as STABLEHLO_COMPOSITE; ``fusions.composites`` writes
the op that its name says. The composite's function computes the same, for the comparison with the source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jax import lax

PREFIX: Final = "tightfit."


def as_op(kind: str, function: Callable[..., Any], *arrays: Any, **options: int) -> Any:
    """Return what a function gives, which the ``.tflite`` computes by one op.

    Args:
        kind: of the op, such as ``"SCATTER_ND"``.
        function: of the arrays; it holds no constants of its own.
        arrays: inputs of the op, in its order.
        options: whole numbers, by the names that ``fusions.composites`` reads.
    """
    words = "".join(f".{name}_{int(value)}" for name, value in sorted(options.items()))
    return lax.composite(lambda *given, **_: function(*given), f"{PREFIX}{kind}{words}")(*arrays)
