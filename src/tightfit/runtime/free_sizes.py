"""A size at which a model with free dimensions runs: that in its file is often 1, which its layers refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tightfit.errors import DataError, RuntimeFailureError
from tightfit.runtime.input_samples import TensorSpec, random_sample
from tightfit.runtime.session import Session

_SIZES: Final = (16, 64, 224, 1024, 4096, 16384)


def runnable_inputs(session: Session) -> Sequence[TensorSpec]:
    """Return the inputs of a model with numbers for free dimensions at which it runs.

    The file's own numbers come first, then 16 to 16384 for every dimension behind the batch that is free.
    Where none runs, the file's own are returned.
    """
    if not any(-1 in spec.shape_signature[1:] for spec in session.inputs):
        return session.inputs
    for specs in (session.inputs, *(_sized(session.inputs, size) for size in _SIZES)):
        try:
            session.run(random_sample(specs))
        except (DataError, RuntimeFailureError):
            continue
        return specs
    return session.inputs


def _sized(specs: Sequence[TensorSpec], size: int) -> list[TensorSpec]:
    """The inputs with one number for the free dimensions.

    Example:
        >>> _sized([TensorSpec("x", (1, 1, 3), "float32", shape_signature=(-1, -1, 3))], 16)[0].shape
        (1, 16, 3)
    """
    return [
        replace(
            spec,
            shape=tuple(
                size if i and free < 0 else number
                for i, (number, free) in enumerate(
                    zip(spec.shape, spec.shape_signature or spec.shape, strict=True)
                )
            ),
        )
        for spec in specs
    ]
