"""The least version of an op for its types and options, and the least runtime for a model.

An op's version states the dtypes, ranks and options that a runtime must support. Old runtimes refuse a file
with too high versions; a file with too low versions is accepted and then computed wrongly or refused later.
``quantization.ops.op_rule`` describes the kernels.
"""

from __future__ import annotations

from tightfit.graph.ir import Model, Op
from tightfit.graph.versions.runtime_releases import RUNTIME_VERSIONS
from tightfit.graph.versions.version_rules import VERSION_RULES


def op_version(op: Op) -> int:
    """Return the least version that supports the op's types, ranks and options.

    Example:
        >>> from tightfit.graph.ir import Tensor
        >>> x, y = Tensor("x", (1, 4), "int8"), Tensor("y", (1, 4), "int8")
        >>> op_version(Op("RELU", [x], [y]))
        2
    """
    least = 2 if op.kind == "BROADCAST_TO" else 1  # its first version was withdrawn
    return max([least, *(version for version, needs in VERSION_RULES.get(op.kind, ()) if needs(op))])


def min_runtime_version(model: Model) -> str:
    """Return the oldest TensorFlow Lite release that supports every builtin op's version, "" without ops.

    Ops that the table does not list (custom ones too) are ignored, as in the source.

    Source: ``tflite/converter/tools/versioning/runtime_version.cc``.
    """
    known = (
        runtime_version(op.kind, op.version or op_version(op)) for graph in model.graphs for op in graph.ops
    )
    return max(filter(None, known), key=_numbers, default="")


def runtime_version(kind: str, version: int) -> str | None:
    """Return the first runtime release with a version of an op, or None when the table has none.

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
