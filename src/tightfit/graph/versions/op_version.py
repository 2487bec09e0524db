"""The least version of an op that its use needs, and the least runtime that a model needs.

An op's version says which dtypes, ranks and options a runtime must know; a file whose versions are too
high is refused by old runtimes, one whose versions are too low is accepted and then miscomputed or
rejected late. Nothing here knows about kernels: see ``quantization.ops.op_rule`` for what they do.
"""

from __future__ import annotations

from tightfit.graph.ir import Model, Op
from tightfit.graph.versions.runtime_releases import RUNTIME_VERSIONS
from tightfit.graph.versions.version_rules import VERSION_RULES


def op_version(op: Op) -> int:
    """Return the greatest version that any property of the op's use asks for.

    Example:
        >>> from tightfit.graph.ir import Tensor
        >>> x, y = Tensor("x", (1, 4), "int8"), Tensor("y", (1, 4), "int8")
        >>> op_version(Op("RELU", [x], [y]))
        2
    """
    least = 2 if op.kind == "BROADCAST_TO" else 1  # its first version was withdrawn
    return max([least, *(version for version, needs in VERSION_RULES.get(op.kind, ()) if needs(op))])


def min_runtime_version(model: Model) -> str:
    """Return the oldest TensorFlow Lite runtime that knows every builtin op in its version, "" without ops.

    Ops that the table does not list (custom ones too) do not count, as in the source.

    Source: ``tflite/converter/tools/versioning/runtime_version.cc``.
    """
    known = (
        runtime_version(op.kind, op.version or op_version(op)) for graph in model.graphs for op in graph.ops
    )
    return max(filter(None, known), key=_numbers, default="")


def runtime_version(kind: str, version: int) -> str | None:
    """Return the first runtime with that version of the op, None when the table lacks it.

    Example:
        >>> runtime_version("CONV_2D", 3)
        '1.14.0'
    """
    releases = RUNTIME_VERSIONS.get(kind, "").split()
    if not 1 <= version <= len(releases) or releases[version - 1] == "-":
        return None
    return releases[version - 1]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
