"""The error of each op as an overlay that Model Explorer opens ("node data") over the quantized file.

Source: ``node_data_builder.py`` and the LiteRT adapter of google-ai-edge/model-explorer: graph name → results
by the name of an output tensor, or by the op's position where that name is not unique.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tightfit.diagnosis.explain.graph_matching import CONVERSIONS, Pairing
from tightfit.graph.ir import Model, Op

_GRADIENT: Final = (
    {"stop": 0, "bgColor": "#ffffff", "textColor": "#000000"},
    {"stop": 0.5, "bgColor": "#fdd49e", "textColor": "#000000"},
    {"stop": 1, "bgColor": "#d7301f", "textColor": "#ffffff"},
)


def overlay(pairing: Pairing, noise_db: Mapping[str, float]) -> str:
    """Return the overlay as JSON: the redder an op, the more error it adds.

    Args:
        pairing: of the float model and the file that the overlay is opened over.
        noise_db: name of an op of the float model → power of its own error ÷ that of its result, in dB.
    """
    graph = pairing.candidate.main
    counts = Counter(t.name for op in graph.ops for t in op.outputs)
    positions = {op: i for i, op in enumerate(graph.ops)}
    results: dict[str, dict[str, float]] = {}
    for op in pairing.reference.main.ops:
        twin = pairing.twin(op)
        if twin is not None and op.name in noise_db:
            results[_key(twin, positions, counts)] = {"value": round(noise_db[op.name], 2)}
    for value in pairing.reference.main.inputs:
        reader = next((r for form in pairing.forms.get(value, []) for r, _ in form.consumers), None)
        if value.name in noise_db and reader is not None and reader.kind in CONVERSIONS:
            results.setdefault(_key(reader, positions, counts), {"value": round(noise_db[value.name], 2)})
    data: dict[str, Any] = {graph_name(pairing.candidate): {"results": results, "gradient": list(_GRADIENT)}}
    return json.dumps(data, indent=1, ensure_ascii=False)


def graph_name(model: Model) -> str:
    """What Model Explorer calls the main graph: its name, else the key of its signature, else ``main``."""
    keys = (s.key for s in model.signatures if s.graph_index == 0)
    return model.main.name or next(keys, "") or "main"


def _key(op: Op, positions: Mapping[Op, int], counts: Mapping[str, int]) -> str:
    name = op.outputs[0].name
    return name if counts[name] == 1 else str(positions[op])
