"""LSTM, GRU and other recurrent Keras layers, written out step by step while a model is traced.

``.tflite`` has no loop that every runtime and tool takes, and no route gives the fused LSTM op; unrolled, a
cell is FULLY_CONNECTED, LOGISTIC and TANH, which quantize and train like any other layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

LONGEST: Final = 512
"""Steps beyond this make a graph of tens of thousands of ops."""


@contextmanager
def unrolled(model: Any) -> Iterator[list[str]]:
    """Lets the recurrent layers of a model unroll within the block; the model is as before afterwards.

    Yields:
        The names of the layers.
    """
    import keras  # noqa: PLC0415 - loaded by the caller

    layers = [x for x in layers_of(model) if isinstance(x, keras.layers.RNN)]
    changed = [x for x in layers if not x.unroll]
    for layer in changed:
        layer.unroll = True
    try:
        yield [x.name for x in changed]
    finally:
        for layer in changed:
            layer.unroll = False


def layers_of(model: Any) -> Iterator[Any]:
    """The model and all that it is made of, each once."""
    waiting, seen = [model], set[int]()
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        waiting += layer._layers  # noqa: SLF001 - Keras offers no walk into layers that are no models
