"""MultiHeadAttention whose values are of another width than its keys: JAX's own attention refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tightfit.conversion.keras.recurrent_layers import layers_of

_LEAST: Final = 1e-9
"""A rate of dropout with which the layer writes its products out; at inference nothing is dropped."""


@contextmanager
def written_out(model: Any) -> Iterator[None]:
    """Lets such layers compute scores, softmax and product one by one within the block."""
    import keras  # noqa: PLC0415 - loaded by the caller

    kind = keras.layers.MultiHeadAttention
    layers = [x for x in layers_of(model) if isinstance(x, kind) and _widths_differ(x) and not x._dropout]  # noqa: SLF001 - Keras offers no switch
    for layer in layers:
        layer._dropout = _LEAST  # noqa: SLF001 - as above
    try:
        yield
    finally:
        for layer in layers:
            layer._dropout = 0.0  # noqa: SLF001 - as above


def _widths_differ(layer: Any) -> bool:
    config = layer.get_config()
    return config["value_dim"] not in (None, config["key_dim"])
