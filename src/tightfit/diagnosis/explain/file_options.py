"""The options of ``tightfit quantize`` that a quantized file was made with, as far as it shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from tightfit.errors import TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.signatures import input_names, output_names
from tightfit.provenance.record import read_record
from tightfit.quantization.scheme import Scheme
from tightfit.targets.profile import Target, find_target


@dataclass(frozen=True)
class FileOptions:
    """The target of a file and the type of its inputs and outputs.

    Args:
        target: in the file's record; None where it names none that is known.
        interface: ``float32``, or the most frequent integer type of inputs and outputs.
    """

    target: Target | None = None
    interface: str = "float32"

    @property
    def layout(self) -> str:
        """The layout of the target's files, ``cpu`` without a target."""
        return "cpu" if self.target is None else self.target.family.layout

    def words(self) -> str:
        """Return both as they are typed; "" for a file with float inputs and outputs and no target."""
        words = [] if self.target is None else [f"--target {self.target.name}"]
        return " ".join(words + ([f"--io {self.interface}"] if self.interface != "float32" else []))

    def scheme(self, scheme: Scheme) -> Scheme:
        """Return a scheme with these inputs and outputs where it has them, as the target takes it."""
        one_scale = () if self.target is None else self.target.family.one_scale
        try:
            return replace(scheme.with_interface(self.interface), one_scale=one_scale)
        except TightfitError:  # a file of another tool may pair them otherwise
            return replace(scheme, one_scale=one_scale)


def options_of(file: Model) -> FileOptions:
    """Return the target and the type of inputs and outputs that a file was made with.

    Args:
        file: as it was read.
    """
    ends = [*input_names(file).values(), *output_names(file).values()]
    types = Counter(t.dtype for t in ends if t.is_quantized)
    return FileOptions(_target(file), *(dtype for dtype, _ in types.most_common(1)))


def _target(file: Model) -> Target | None:
    """Return the target in the file's record; None where it has none that is known."""
    try:
        record = read_record(file)
        name = "" if record is None else record.facts.get("target", "")
        return find_target(name) if isinstance(name, str) and name else None
    except TightfitError:
        return None
