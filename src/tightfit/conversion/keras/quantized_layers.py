"""Keras models after ``model.quantize("int8")``: their layers compute on the reals of their weights again.

Keras 3 stores int8 weights and a divisor: ``w = q / scale``. LiteRT's converter has no form for these calls,
so the layers get float ones; the weights stay on their grid, which every plan keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.errors import ModelError


def dequantize_layers(model: Any) -> list[str]:
    """Give the quantized layers of a model float calls, in place.

    Args:
        model: a Keras model.

    Returns:
        A sentence that names the layers, or nothing.

    Raises:
        ModelError: a layer is quantized in a way that has no float call here.
    """
    layers = [] if not hasattr(model, "_flatten_layers") else list(model._flatten_layers())  # noqa: SLF001 - the only walk
    names = []
    for layer in layers:
        mode = getattr(layer, "quantization_mode", None)
        if mode is None or isinstance(layer, keras.Model):
            continue
        row = next((f for kind, f in _CALLS.items() if type(layer) is kind), None)
        if mode != "int8" or row is None:
            raise ModelError(
                f"The Keras layer {type(layer).__name__} '{layer.name}' was quantized by "
                f"model.quantize('{mode}'), which has no float form here (int8 Dense and Embedding do). "
                "Convert the model from before, and let tightfit quantize it: dynamic and weight4 store the "
                "same bits."
            )
        layer.quantized_call = row(layer)
        names.append(layer.name)
    if not names:
        return []
    return [
        f"Quantized by Keras (int8): {', '.join(names)}; converted as the reals that their weights stand for."
    ]


def _dense(layer: Any) -> Callable[..., Any]:
    kernel = np.asarray(layer._kernel, np.float32) / np.asarray(layer.kernel_scale, np.float32)  # noqa: SLF001 - stored

    def call(inputs: Any, training: Any = None) -> Any:
        del training
        result = ops.matmul(inputs, kernel)
        result = result if layer.bias is None else ops.add(result, layer.bias)
        return result if layer.activation is None else layer.activation(result)

    return call


def _embedding(layer: Any) -> Callable[..., Any]:
    scale = np.asarray(layer.embeddings_scale, np.float32).reshape(-1, 1)
    table = np.asarray(layer._embeddings, np.float32) / scale  # noqa: SLF001 - stored

    def call(inputs: Any, training: Any = None) -> Any:
        del training
        return ops.take(ops.convert_to_tensor(table), ops.cast(inputs, "int32"), axis=0)

    return call


_CALLS: Final[dict[type, Callable[[Any], Callable[..., Any]]]] = {
    keras.layers.Dense: _dense,
    keras.layers.Embedding: _embedding,
}
