"""The plans of three models, as they were when last looked at; a change has to be meant.

``python tests/quantization/test_golden_plan.py`` (with ``src`` and ``tests`` on the path) writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.models import conv_net, residual_net
from support.quantizing import given, plan, transformer_net
from tightfit.graph.ir import Model
from tightfit.quantization.plan import OpPlan, Plan, Storage

GOLDENS = Path(__file__).with_name("goldens")
CASES = {
    "conv_int8_uint8": (conv_net, "int8", "uint8", [("SOFTMAX", "float")]),
    "residual_int16x8": (residual_net, "int16x8", "float32", []),
    "residual_mixed": (residual_net, "int8", "float32", [("DEPTHWISE_CONV_2D", "int16x8")]),
    "transformer_int8": (transformer_net, "int8", "float32", []),
    "transformer_dynamic": (transformer_net, "dynamic", "float32", []),
}


def ranges_of(model: Model) -> dict[str, tuple[float, float]]:
    """Ranges that differ from tensor to tensor; the variance of the transformer is not negative."""
    positive = {"add_12"}
    return {
        key: (0.0 if i % 3 == 0 or key in positive else -1.0 - i / 8, 2.0 + i / 4)
        for i, key in enumerate(given(model))
    }


def made_plan(name: str) -> Plan:
    make, scheme, interface, overrides = CASES[name]
    model = make()
    return plan(model, scheme, interface, ranges=ranges_of(model), overrides=overrides)


def summary(made: Plan) -> dict[str, Any]:
    """A plan in few words: scales to six digits, of per-channel ones how many and their sum."""
    graph = made.graphs[0]
    return {
        "ops": [_row(op) for op in graph.ops],
        "tensors": {k: {d: _form(s) for d, s in v.items()} for k, v in graph.tensors.items()},
        "interface": graph.interface,
        "notes": made.notes,
    }


def _row(op: OpPlan) -> list[Any]:
    constants = {str(i): _form(s) for i, s in op.constants.items()}
    inputs = {str(i): _form(s) for i, s in op.inputs.items()}
    return [op.kind, op.name, op.mode, op.dtype, op.reason, op.wanted, constants, inputs]


def _form(storage: Storage) -> list[Any]:
    total = float(f"{np.sum(storage.scale):.6g}")
    return [storage.dtype, len(storage.scale), total, storage.zero_point[:1], storage.axis, storage.reason]


def compact(value: Any) -> str:
    """JSON with a line an op and a tensor, so that a change reads well."""
    lines = []
    for key, part in json.loads(json.dumps(value)).items():
        items = part.items() if isinstance(part, dict) else ((None, row) for row in part)
        rows = ",\n".join(
            (f"{json.dumps(k)}:" if k else "") + json.dumps(row, separators=(",", ":")) for k, row in items
        )
        brackets = "{}" if isinstance(part, dict) else "[]"
        lines.append(f'"{key}":{brackets[0]}\n{rows}\n{brackets[1]}')
    return "{" + ",\n".join(lines) + "}\n"


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_what_it_was(name):
    golden = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    found = json.loads(compact(summary(made_plan(name))))
    for part, wanted in golden.items():
        assert found[part] == wanted, part


def test_every_golden_belongs_to_a_case():
    assert {path.stem for path in GOLDENS.glob("*.json")} == set(CASES)


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for case in CASES:
        (GOLDENS / f"{case}.json").write_text(compact(summary(made_plan(case))), encoding="utf-8")
