"""LSTM, GRU and other recurrent Keras layers while a model is traced: one op, loops, or step by step.

An LSTM that begins from zero and has the usual activations is UNIDIRECTIONAL_SEQUENCE_LSTM. A GRU or plain
layer of more steps than ``LOOP_FROM`` is WHILE loops: its file does not grow with the steps. Any other
recurrent layer is unrolled: a cell is FULLY_CONNECTED, LOGISTIC and TANH, which quantize and train like any
other layer, and which every device takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tightfit.errors import ModelError
from tightfit.graph.ops.recurrent_loop import LOOP_FROM
from tightfit.graph.passes.unrolled_lstm import LONGEST


@dataclass
class Forms:
    """How the recurrent layers of a traced model came out.

    Args:
        fuses: whether an LSTM may become one op.
        loops: whether a GRU or plain layer may become loops.

    Attributes:
        is_paused: whether layers compute as Keras does, once it is known what becomes of them.
        fused: names of the layers that are one op.
        looped: names of the layers that are loops.
        unrolled: name → why it is not, "" for layers that have no op.
    """

    fuses: bool
    loops: bool = False
    is_paused: bool = False
    fused: dict[str, None] = field(default_factory=dict)
    looped: dict[str, None] = field(default_factory=dict)
    unrolled: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return what became of the layers, in sentences."""
        made = [f"One op each (UNIDIRECTIONAL_SEQUENCE_LSTM): {', '.join(self.fused)}."] if self.fused else []
        made += [f"As loops (WHILE): {', '.join(self.looped)}."] if self.looped else []
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
def written_forms(model: Any, *, fuses: bool, loops: bool = False) -> Iterator[Forms]:
    """Let recurrent layers become one op, loops, or unroll within the block; the model is as before after it.

    Args:
        model: a Keras model.
        fuses: whether an LSTM may become one op.
        loops: whether a GRU or plain layer may become loops.

    Yields:
        What became of each layer, once the model was traced.
    """
    import keras  # noqa: PLC0415 - loaded by the caller

    forms = Forms(fuses, loops)
    layers = [x for x in layers_of(model) if isinstance(x, keras.layers.RNN)]
    calls = {layer: (layer.unroll, layer.call) for layer in layers}
    for layer, (_, call) in calls.items():
        layer.call = _written(layer, call, forms)
    try:
        yield forms
    finally:
        for layer, (unroll, _) in calls.items():
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
            if forms.loops and mask is None and _is_long(sequences):
                from tightfit.conversion.keras.looped_layers import looped  # noqa: PLC0415 - loads JAX

                results = looped(layer, sequences, initial_state)
                if results is not None:
                    forms.looped[layer.name] = None
                    return results
            _unroll(layer, sequences.shape[1], why or "", forms)
            if mask is None and not layer.stateful and _has_rows(sequences.shape):
                return _steps(layer, sequences, initial_state)
        return call(sequences, initial_state=initial_state, mask=mask, training=training)

    return written


def _is_long(sequences: Any) -> bool:
    return sequences.shape[1] is not None and sequences.shape[1] > LOOP_FROM


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


def _has_rows(shape: Any) -> bool:
    """Whether a shape is (batch, steps, depth) with known steps."""
    return len(shape) == 3 and isinstance(shape[1], int)


def _steps(layer: Any, sequences: Any, states: Any) -> Any:
    """The layer's results, one call of its cell after another; the batch stays first, so that it can be free.

    Source: ``RNN.call`` of Keras 3, whose own unrolled form puts the steps first.
    """
    from keras import ops, tree  # noqa: PLC0415 - loaded by the caller

    held = layer.get_initial_state(batch_size=ops.shape(sequences)[0]) if states is None else states
    held = held if isinstance(held, list | tuple) else [held]
    outputs = []
    order = range(sequences.shape[1])
    for t in reversed(order) if layer.go_backwards else order:
        output, held = layer.cell(sequences[:, t], held)
        held = held if isinstance(held, list | tuple) else [held]
        outputs.append(output)
    result = ops.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return (result, *tree.flatten(held)) if layer.return_state else result


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
