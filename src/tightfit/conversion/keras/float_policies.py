"""Keras models in float32: half precision policies are lifted for a while, quantized layers refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tightfit.conversion.keras.old_configs import migrate
from tightfit.conversion.keras.recurrent_layers import layers_of

_HALF: Final = ("float16", "bfloat16")


def full_precision(dtype: str) -> str:
    """Return float32 for a type of half precision, any other type as it is.

    Example:
        >>> full_precision("bfloat16"), full_precision("int32")
        ('float32', 'int32')
    """
    return "float32" if dtype in _HALF else dtype


def rebuilt(model: Any) -> Any:
    """Return a model whose weights and inputs are float32, built anew where they are of half precision."""
    import keras  # noqa: PLC0415 - loaded by the caller

    if all(full_precision(str(v.dtype)) == str(v.dtype) for v in model.variables):
        return model
    config = keras.saving.serialize_keras_object(model)
    migrate(config)
    twin = keras.saving.deserialize_keras_object(config)
    twin.set_weights([w.astype("float32") for w in model.get_weights()])
    return twin


@contextmanager
def in_float32(model: Any) -> Iterator[list[str]]:
    """Let a model compute in float32 within the block; the model is as before afterwards.

    Yields:
        The names of the layers that computed in half precision.
    """
    import keras  # noqa: PLC0415 - loaded by the caller

    layers = list(layers_of(model))
    half = [x for x in layers if str(getattr(x, "compute_dtype", "float32")) in _HALF]
    policies = [x.dtype_policy for x in half]
    for layer in half:
        layer.dtype_policy = keras.dtype_policies.DTypePolicy("float32")
    try:
        yield [x.name for x in half]
    finally:
        for layer, policy in zip(half, policies, strict=True):
            layer.dtype_policy = policy
