"""What a file is; loads nothing that runs or measures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tightfit.conversion.open_model import open_model
from tightfit.graph.reader import read_model
from tightfit.graph.summary import summary
from tightfit.kinds import ModelLike
from tightfit.result import Result, Row
from tightfit.spoken import verb


@dataclass(frozen=True, repr=False)
class Inspection(Result, Mapping[str, object]):
    """What a model is, also as a mapping of the names that ``tightfit inspect --json`` prints.

    Args:
        path: the file.
        facts: by name.
        notes: none.
    """

    path: Path
    facts: dict[str, object]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> object:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def to_dict(self) -> dict[str, object]:
        """Return the facts."""
        return dict(self.facts)

    def headline(self) -> str:
        """Return the size of the model."""
        return f"Inspection('{self.path}', {self['parameters']:,} parameters, {self['macs']:,} MACs)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the facts by name."""
        return ("", ""), list(self.facts.items())


@verb()
def inspect(model: ModelLike) -> Inspection:
    """Return what a model is: inputs, outputs, ops, parameters, MACs, how it is quantized.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.

    Returns:
        inputs, outputs, ops, parameters, multiply-accumulates and scheme.

    Raises:
        ModelError: the file cannot be read.

    Example:
        ``tightfit.inspect("model.tflite")``
    """
    path = open_model(model)
    return Inspection(path, summary(read_model(path)))
