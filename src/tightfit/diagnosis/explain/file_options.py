"""What a quantized file tells about the options of ``tightfit quantize`` that it was made with."""

from __future__ import annotations

from collections import Counter

from tightfit.errors import TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.signatures import input_names, output_names
from tightfit.provenance.record import read_record
from tightfit.targets.profile import find_target


def options_of(file: Model) -> str:
    """Return the target and the type of inputs and outputs of a file as they are typed.

    Args:
        file: as it was read.
    """
    ends = [*input_names(file).values(), *output_names(file).values()]
    types = Counter(t.dtype for t in ends if t.is_quantized)
    target = _target(file)
    words = [f"--target {target}"] if target else []
    return " ".join(words + [f"--io {dtype}" for dtype, _ in types.most_common(1)])


def _target(file: Model) -> str:
    """The name of the target in the file's record; "" where it has none that is known."""
    try:
        record = read_record(file)
        name = "" if record is None else record.facts.get("target", "")
        return find_target(name).name if isinstance(name, str) and name else ""
    except TightfitError:
        return ""
