"""What a conversion gives back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tightfit.conversion.source_comparison import OutputDifference
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.result import Result, Row


@dataclass(frozen=True, repr=False)
class ConversionResult(Result):
    """A float ``.tflite``, and how it compares with its source. It is a path to the file as well.

    Args:
        path: the file.
        source: what it was made of.
        route: the tools that it went through.
        differences: for each output the largest difference on random inputs; empty for a ``.tflite``.
        seconds: how long it took.
        notes: what a reader should know.
    """

    path: Path
    source: str
    route: str
    differences: list[OutputDifference]
    seconds: float
    notes: list[str] = field(default_factory=list)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def model(self) -> Model:
        """The graph, read from the file."""
        return read_model(self.path)

    @property
    def largest_difference(self) -> float:
        """The largest absolute difference over all outputs, 0 when there was nothing to compare."""
        return max((d.largest for d in self.differences), default=0.0)

    def headline(self) -> str:
        """Return the file, the route and the difference."""
        apart = f", off by {self.largest_difference:.2g} at most" if self.differences else ""
        return f"ConversionResult('{self.path}', {self.route}{apart})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the largest difference of each output from the source."""
        return ("output", "largest difference"), [(d.output, d.largest) for d in self.differences]

    def to_dict(self) -> dict[str, object]:
        """Return the facts as JSON can hold them."""
        rows = [asdict(d) for d in self.differences]
        plain: dict[str, object] = {
            "source": self.source,
            "path": str(self.path),
            "route": self.route,
            "seconds": self.seconds,
        }
        size = {"size_bytes": self.path.stat().st_size}
        return plain | size | {"differences": rows, "notes": self.notes}

    def as_json(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()
