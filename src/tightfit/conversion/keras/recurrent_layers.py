"""LSTM, GRU and other recurrent Keras layers while a model is traced: one op, or written out step by step.

An LSTM that begins from zero and has the usual activations is UNIDIRECTIONAL_SEQUENCE_LSTM. ``.tflite`` has
no loop that every runtime and tool takes, so any other recurrent layer is unrolled: a cell is
FULLY_CONNECTED, LOGISTIC and TANH, which quantize and train like any other layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tightfit.errors import ModelError
from tightfit.graph.passes.unrolled_lstm import LONGEST


@dataclass
class Forms:
    """How the recurrent layers of a traced model came out.

    Args:
        fuses: whether an LSTM may become one op.

    Attributes:
        is_paused: whether layers compute as Keras does, once it is known what becomes of them.
        fused: names of the layers that are one op.
        unrolled: name → why it is not, "" for layers that have no op.
    """

    fuses: bool
    is_paused: bool = False
    fused: dict[str, None] = field(default_factory=dict)
    unrolled: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return what became of the layers, in sentences."""
        made = [f"One op each (UNIDIRECTIONAL_SEQUENCE_LSTM): {', '.join(self.fused)}."] if self.fused else []
        words = [f"{name} ({why})" if why else name for name, why in self.unrolled.items()]
        return made + ([f"Unrolled step by step: {', '.join(words)}."] if words else [])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the layers compute as Keras does within the block."""
        self.is_paused = True
        try:
            yield
        finally:
            self.is_paused = False


@contextmanager
def written_forms(model: Any, *, fuses: bool) -> Iterator[Forms]:
    """Let recurrent layers become one op or unroll within the block; the model is as before afterwards.

    Args:
        model: a Keras model.
        fuses: whether an LSTM may become one op.

    Yields:
        What became of each layer, once the model was traced.
    """
    import keras  # noqa: PLC0415 - loaded by the caller

    forms = Forms(fuses)
    layers = [x for x in layers_of(model) if isinstance(x, keras.layers.RNN)]
    loops = {layer: (layer.unroll, layer.call) for layer in layers}
    for layer, (_, call) in loops.items():
        layer.call = _written(layer, call, forms)
    try:
        yield forms
    finally:
        for layer, (unroll, _) in loops.items():
            layer.unroll = unroll
            del layer.call


def _written(layer: Any, call: Callable[..., Any], forms: Forms) -> Callable[..., Any]:
    """The call of a layer, as one op or unrolled."""

    def written(sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = False) -> Any:
        if not forms.is_paused:
            why = _unlike_op(layer, given=initial_state is not None, masked=mask is not None)
            if forms.fuses and why is None:
                forms.fused[layer.name] = None
                return _as_op(layer, sequences)
            _unroll(layer, sequences.shape[1], why or "", forms)
        return call(sequences, initial_state=initial_state, mask=mask, training=training)

    return written


def _unroll(layer: Any, steps: int | None, why: str, forms: Forms) -> None:
    """Unroll a layer.

    Raises:
        ModelError: it has too many steps.
    """
    if steps is not None and steps > LONGEST:
        reason = f" ({why})" if why else ""
        raise ModelError(
            f"The layer '{layer.name}' would be unrolled over {steps} steps, more than {LONGEST}{reason}; "
            "convert it for a shorter sequence with --input-shape, and carry its state in the application."
        )
    layer.unroll = True
    forms.unrolled.setdefault(layer.name, why)


def _unlike_op(layer: Any, *, given: bool, masked: bool) -> str | None:
    """Why a layer is not what UNIDIRECTIONAL_SEQUENCE_LSTM computes; "" for other kinds, None where it is."""
    import keras  # noqa: PLC0415 - loaded by the caller

    if type(layer) is not keras.layers.LSTM or type(layer.cell) is not keras.layers.LSTMCell:
        return ""
    names = [getattr(f, "__name__", "") for f in (layer.activation, layer.recurrent_activation)]
    if names != ["tanh", "sigmoid"]:
        return f"its activations are {names[0]} and {names[1]}; the op has tanh and sigmoid"
    if layer.stateful or given:
        return "it begins from a state; the op is used from zero"
    if layer.return_state:
        return "it returns its state, which the op does not"
    return "its steps are masked" if masked else None


def _as_op(layer: Any, sequences: Any) -> Any:
    """The layer's result through one op."""
    from keras import ops  # noqa: PLC0415 - loaded by the caller

    from tightfit.conversion.stablehlo.lstm_layer import sequence_lstm  # noqa: PLC0415 - loads JAX

    cell = layer.cell
    bias = cell.bias if cell.use_bias else ops.zeros((4 * cell.units,))
    x = ops.flip(sequences, axis=1) if layer.go_backwards else sequences
    matrices = [ops.transpose(cell.kernel), ops.transpose(cell.recurrent_kernel), ops.convert_to_tensor(bias)]
    outputs = sequence_lstm(ops.convert_to_tensor(x), *matrices)
    return outputs if layer.return_sequences else outputs[:, -1]


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
