"""Variables that a Keras model changes when it answers: states of recurrent layers, buffers of streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tightfit.conversion.exporting import Specs
from tightfit.conversion.state_variables import StateValue


@dataclass(frozen=True)
class KeptState:
    """One variable that a call changes.

    Args:
        variable: Keras's; layers need not track it.
        value: what the file needs to know of it.
    """

    variable: Any
    value: StateValue


class _Recorder(keras.StatelessScope):  # type: ignore[misc]  # Keras has no types
    """Notes which variables are assigned."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.assigned: dict[int, Any] = {}

    def add_update(self, update: Any) -> None:
        """Take an assignment in place of the variable, as Keras calls it."""
        self.assigned[id(update[0])] = update[0]
        super().add_update(update)


def kept_state(variables: Iterable[Any]) -> list[KeptState]:
    """Return what the file needs to know of the variables that a call changes."""
    kept: list[KeptState] = []
    for number, variable in enumerate(variables):
        name = f"{(variable.path or 'state').replace('/', '_')}_{number}"
        initial = np.asarray(variable.value)
        kept.append(KeptState(variable, StateValue(name, f"{name}_in", f"{name}_out", initial)))
    return kept


class StatefulCall:
    """A Keras model as a function of its inputs and its state, for JAX to trace.

    Args:
        call: an ``ExportCall``.
        kept: the variables that become inputs and outputs.

    Attributes:
        assigned: the variables that the traced call changed.
        inputs: name → (shape, dtype), the state behind the model's own.
        outputs: likewise.
        weights: values of all variables.
    """

    def __init__(self, call: Any, kept: Sequence[KeptState]) -> None:
        self._call, self._kept = call, kept
        self.values = [each.value for each in kept]
        self.assigned: dict[int, Any] = {}
        self.inputs: Specs = dict(call.inputs) | {
            v.given: (v.initial.shape, v.initial.dtype.name) for v in self.values
        }
        self.outputs = [*call.outputs, *(v.next_value for v in self.values)]
        self._variables = list(call.model.variables)
        self.weights = [v.value for v in self._variables]

    def __call__(self, *arrays: Any, weights: Any = None) -> list[Any]:
        """Return the outputs and the next state."""
        given, state = arrays[: len(self._call.inputs)], arrays[len(self._call.inputs) :]
        variables = zip(self._variables, self.weights if weights is None else weights, strict=True)
        own = zip((each.variable for each in self._kept), state, strict=True)
        with _Recorder(state_mapping=[*variables, *own]) as scope:
            result = self._call.traced(*given)
        self.assigned = scope.assigned
        return [*result, *(scope.get_current_value(each.variable) for each in self._kept)]
