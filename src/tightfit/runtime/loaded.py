"""A loaded model as the worker sees it: fill, run, read. Two ways, by the graph that the signature runs.

Imports little and is given LiteRT's objects, so that only the worker imports LiteRT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tightfit.graph.names import unique_names
from tightfit.runtime.child.serving import DataMismatchError, sentence
from tightfit.types import Array

Value = TypeVar("Value")


class MainGraph:
    """The model's first graph, run through tensor indices: the fast way, without copies of outputs."""

    def __init__(self, interpreter: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        self._interpreter = interpreter
        self._inputs = {name: int(d["index"]) for name, d in inputs.items()}
        self._outputs = {name: int(d["index"]) for name, d in outputs.items()}
        self._shapes = {name: tuple(int(n) for n in d["shape"]) for name, d in inputs.items()}
        self._allocated = False
        try:
            interpreter.allocate_tensors()
            self._allocated = True
        except (RuntimeError, ValueError):
            if not any(n < 0 for d in inputs.values() for n in d["shape_signature"]):
                raise  # else the first sample brings shapes that may do

    def fill(self, inputs: dict[str, Array]) -> None:
        """Copies a sample into the input tensors, which take the sample's shape first."""
        wanted = {name: array.shape for name, array in inputs.items()}
        if wanted != self._shapes or not self._allocated:
            self._resize(wanted)
        for name, array in inputs.items():
            self._interpreter.set_tensor(self._inputs[name], array)

    def _resize(self, wanted: dict[str, tuple[int, ...]]) -> None:
        try:
            self._allocate(wanted)
        except (RuntimeError, ValueError) as error:
            raise DataMismatchError(
                f"The model cannot run on the shapes {_shape_words(wanted)}; its file says "
                f"{_shape_words(self._shapes)}. Give samples of a size that its layers take (--data). "
                f"LiteRT: {sentence(error)}"
            ) from error
        self._shapes = wanted

    def _allocate(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._allocated = False
        for name, shape in shapes.items():
            self._interpreter.resize_tensor_input(self._inputs[name], shape)
        self._interpreter.allocate_tensors()
        self._allocated = True

    def invoke(self) -> None:
        """Runs the graph once."""
        self._interpreter.invoke()

    def results(self) -> dict[str, Array]:
        """Copies of the outputs by name."""
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def reader(self, key: str) -> Callable[[], Array]:
        """A function that gives a view of the output ``key`` (a name, or ``#position``) after a run.

        Raises:
            DataMismatchError: there is no such output.
        """
        details = self._interpreter.get_output_details()
        places = {f"#{i}": int(d["index"]) for i, d in enumerate(details)}
        names = unique_names([str(d["name"]) for d in details])
        places |= dict(zip(names, places.values(), strict=True)) | self._outputs
        index = _at(places, key)
        if next((d for d in details if d["index"] == index), details[0])["dtype"] is np.bytes_:
            return lambda: self._interpreter.get_tensor(index)
        view: Callable[[], Array] = self._interpreter.tensor(index)
        return view


class SignatureGraph:
    """A graph that only a signature reaches, run through LiteRT's signature runner, which copies."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._sample: dict[str, Array] = {}
        self._results: dict[str, Array] = {}

    def fill(self, inputs: dict[str, Array]) -> None:
        """Keeps the sample for the run, where the runner resizes and copies."""
        self._sample = inputs

    def invoke(self) -> None:
        """Runs the graph once."""
        self._results = self._runner(**self._sample)

    def results(self) -> dict[str, Array]:
        """The outputs by name."""
        return self._results

    def reader(self, key: str) -> Callable[[], Array]:
        """A function that gives the output ``key`` after a run."""
        return lambda: _at(self._results, key)


def _at(outputs: dict[str, Value], key: str) -> Value:
    if key not in outputs:
        raise DataMismatchError(f"The model has no output '{key}'; it has {', '.join(outputs)}.")
    return outputs[key]


def _shape_words(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"'{name}' {list(shape)}" for name, shape in shapes.items())
