"""Ops of the STABLEHLO family that stay in a converted file: named, with what that means."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

from tightfit.errors import ModelError
from tightfit.graph.ir import Model

_UNKNOWN: Final = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


def left_notes(model: Model) -> list[str]:
    """Return a sentence for each kind of STABLEHLO op that no builtin op replaced.

    Example:
        >>> from tightfit.graph.ir import Graph, Op, Tensor
        >>> graph = Graph()
        >>> _ = graph.append(Op("STABLEHLO_SCATTER", [], [Tensor("updated", (4,))]))
        >>> left_notes(Model([graph]))
        ["1 STABLEHLO_SCATTER ('updated') stays in float and does not run on microcontrollers."]
    """
    found: dict[str, list[str]] = defaultdict(list)
    for graph in model.graphs:
        for op in graph.ops:
            if op.kind.startswith("STABLEHLO_"):
                found[op.kind].append(op.name)
    return [
        f"{len(names)} {kind} ('{names[0]}') stays in float and does not run on microcontrollers."
        for kind, names in found.items()
    ]


def without_kernel(model: Model, said: str) -> ModelError | None:
    """Return the refusal of a file with an op that LiteRT has no kernel for, None for another failure.

    Args:
        model: the converted model.
        said: what LiteRT answered.
    """
    match = _UNKNOWN.search(said)
    if match is None:
        return None
    names = [op.name for graph in model.graphs for op in graph.ops if op.kind == match[1]]
    where = f" '{names[0]}'" if names else ""
    return ModelError(
        f"LiteRT has no kernel for {match[1]}{where}, which the model was converted to; write that part with "
        "other operations, or end the model before it."
    )
