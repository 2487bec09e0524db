"""Which methods of tflite-micro's ``MicroMutableOpResolver`` register the ops of a model.

Source: tflite-micro, ``tensorflow/lite/micro/micro_mutable_op_resolver.h``.
"""

from __future__ import annotations

from typing import Final

from tightfit.errors import ModelError
from tightfit.graph.ir import Model, Op

_IRREGULAR: Final = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}
_CUSTOM: Final = {
    "TFLM_DECODE": "AddDecode",
    "CIRCULAR_BUFFER": "AddCircularBuffer",
    "TFLite_Detection_PostProcess": "AddDetectionPostprocess",
}


def resolver_methods(model: Model) -> tuple[str, ...]:
    """Return the methods that register all ops of a model, each once, in alphabetical order.

    Raises:
        ModelError: a custom op has no method of its own.
    """
    return tuple(sorted({_method(op) for graph in model.graphs for op in graph.ops}))


def method_name(kind: str) -> str:
    """Return the method that registers a builtin op.

    Example:
        >>> method_name("DEPTHWISE_CONV_2D"), method_name("SPACE_TO_BATCH_ND"), method_name("BATCH_MATMUL")
        ('AddDepthwiseConv2D', 'AddSpaceToBatchNd', 'AddBatchMatMul')
    """
    words = (word if word[0].isdigit() else word.capitalize() for word in kind.split("_"))
    return _IRREGULAR.get(kind, "Add" + "".join(words))


def _method(op: Op) -> str:
    if op.kind != "CUSTOM":
        return method_name(op.kind)
    if op.custom_code not in _CUSTOM:
        raise ModelError(
            f"Received the custom op '{op.custom_code}'; expected one of {', '.join(sorted(_CUSTOM))}. "
            "Register it by hand in a copy of the example."
        )
    return _CUSTOM[op.custom_code]
