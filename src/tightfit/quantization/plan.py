"""The one decision: for every tensor how it is stored, for every op how it runs, each with the reason.

Plain data: printable, comparable, JSON. ``planning.make_plan`` makes it, ``apply.apply_plan`` carries it
out, and everything else (simulation, target checks, report) reads it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tightfit.quantization.scheme import SEARCH_TRAITS, Scheme

INTEGER: Final = "integer"
HYBRID: Final = "hybrid"
UNPACKED: Final = "unpacked"
FLOAT: Final = "float"
EXACT: Final = "exact"

MODES: Final[dict[str, str]] = {
    INTEGER: "computes on integers",
    HYBRID: "float in and out, integer weights, activations quantized at each call",
    UNPACKED: "float, its constants stored smaller and unpacked before use",
    FLOAT: "float",
    EXACT: "carries no reals (shapes, indices, control flow)",
}


@dataclass(frozen=True)
class Storage:
    """How a tensor is stored: ``real = scale · (q − zero_point)``; float types have no scale.

    Args:
        dtype: stored type (``int8``, ``int16``, ``int32``, ``int64``, ``int4``, ``float16`` …).
        scale: one value, or one a channel.
        zero_point: as many as scales.
        axis: the channel axis of per-channel scales, else None.
        narrow: leave out the lowest integer, as kernels want it of weights.
        reason: where the range came from, in words.
        range: the real values (low, high) that it stands for, where that was chosen from data.
    """

    dtype: str
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int | None = None
    narrow: bool = False
    reason: str = field(default="", compare=False)
    range: tuple[float, float] | None = field(default=None, compare=False)


@dataclass
class OpPlan:
    """How one op runs.

    Args:
        name: the op's name (its first output's).
        kind: ``CONV_2D``.
        mode: a key of ``MODES``.
        dtype: activation type of an integer op, else None.
        reason: why, in a sentence; never empty for an op that the scheme wanted otherwise.
        constants: input position → how that constant is stored.
        inputs: input position → the form that this op alone takes of an activation (a requantization); an op
            that computes in float reads the reals of that form.
        wanted: True when the scheme asked for another mode than it got.
    """

    name: str
    kind: str
    mode: str
    reason: str = ""
    dtype: str | None = None
    constants: dict[int, Storage] = field(default_factory=dict)
    inputs: dict[int, Storage] = field(default_factory=dict)
    wanted: bool = False


@dataclass
class GraphPlan:
    """The decisions for one graph.

    Args:
        ops: one a op, in the graph's order.
        tensors: tensor key → integer type → storage of that tensor when it is held in that type.
        interface: tensor key of a float graph input or output → its type in the file.
        held: key of a tensor that a float op writes → the integer type in which it is held before it is read.
    """

    ops: list[OpPlan] = field(default_factory=list)
    tensors: dict[str, dict[str, Storage]] = field(default_factory=dict)
    interface: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


@dataclass
class Plan:
    """The decisions for a whole model.

    Args:
        scheme: what was asked for.
        graphs: one a graph of the model.
        notes: what a reader should know beyond the ops (a bias that needed a wider weight scale …).
        pinned: True when the scales are a source's own and no step may move them.
    """

    scheme: Scheme
    graphs: list[GraphPlan]
    notes: list[str] = field(default_factory=list)
    pinned: bool = False

    def ops(self) -> list[OpPlan]:
        """Every op's plan, graph after graph."""
        return [op for graph in self.graphs for op in graph.ops]

    def refusals(self) -> list[OpPlan]:
        """The ops that the scheme wanted otherwise, with their reasons."""
        return [op for op in self.ops() if op.wanted]

    def counts(self) -> dict[str, int]:
        """Mode → number of ops."""
        return dict(Counter(op.mode for op in self.ops()))

    def to_json(self) -> str:
        """The plan as JSON; ``plan_from_json`` reads it back."""
        plain = asdict(self)
        for trait in SEARCH_TRAITS:
            del plain["scheme"][trait]
        return json.dumps(plain, indent=1, ensure_ascii=False)

    def text(self) -> str:
        """The plan for a person: one line an op, with its reason."""
        lines = [f"scheme {self.scheme.name}: {self.scheme.summary}"]
        for op in self.ops():
            how = f"{op.mode} {op.dtype}" if op.dtype else op.mode
            lines.append(f"  {op.kind:<24} {how:<14} {op.name}" + (f"  ({op.reason})" if op.reason else ""))
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def plan_from_json(text: str) -> Plan:
    """Return the plan that ``Plan.to_json`` wrote."""
    data = json.loads(text)
    scheme = data["scheme"] | {"one_scale": tuple(data["scheme"].get("one_scale", ()))}
    graphs = [_graph(g) for g in data["graphs"]]
    return Plan(Scheme(**scheme), graphs, data["notes"], data.get("pinned", False))


def _graph(data: dict[str, Any]) -> GraphPlan:
    places = ("constants", "inputs")
    ops = [
        OpPlan(**{**op, **{p: {int(k): _storage(v) for k, v in op[p].items()} for p in places}})
        for op in data["ops"]
    ]
    tensors = {k: {d: _storage(s) for d, s in v.items()} for k, v in data["tensors"].items()}
    return GraphPlan(ops, tensors, data["interface"], data.get("held", {}))


def _storage(data: dict[str, Any]) -> Storage:
    limits = data["range"]
    return Storage(
        data["dtype"],
        tuple(data["scale"]),
        tuple(data["zero_point"]),
        data["axis"],
        data["narrow"],
        data["reason"],
        None if limits is None else (limits[0], limits[1]),
    )
