"""A plan as a recipe of litert-quantizer."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tightfit.quantization.exchange.recipe_rules import CONFIGS
from tightfit.quantization.plan import EXACT, HYBRID, INTEGER, UNPACKED, OpPlan, Plan
from tightfit.quantization.scheme import OP_SCHEMES, SCHEMES

Entry = dict[str, object]

_BY_SCHEME: Final = {name: key for key, name in CONFIGS.items()}
_NARROW: Final = ("int4", "int2")


def recipe_entries(plan: Plan) -> list[Entry]:
    """Return a plan as the entries of a recipe: one for all ops, and one for each op that differs.

    Args:
        plan: of a model; where scales come from is not part of a recipe.
    """
    known = [(op, op_scheme(op)) for op in plan.ops()]
    base = base_scheme(plan)
    entries = [_entry(".*", base)]
    for op, name in known:
        if name is not None and name != base:
            entries.append(_entry(f"(^|;){re.escape(op.name)};", name))
    return entries


def base_scheme(plan: Plan) -> str:
    """Return the scheme of most ops of a plan, or its own."""
    if plan.scheme.name in _BY_SCHEME and plan.scheme.weights not in _NARROW:
        return plan.scheme.name
    names = Counter(name for op in plan.ops() if (name := op_scheme(op)) not in (None, "float"))
    found = names.most_common(1)
    return str(found[0][0]) if found else plan.scheme.name


def op_scheme(op: OpPlan) -> str | None:
    """Return the scheme that an op runs by, ``float``, or None where a recipe says nothing of it.

    Example:
        >>> op_scheme(OpPlan("a", "ADD", "integer", dtype="int16"))
        'int16x8'
    """
    if op.mode == EXACT:
        return None
    weights = next((s.dtype for _, s in sorted(op.constants.items()) if s.dtype != "int32"), None)
    wanted = {INTEGER: "integer", HYBRID: "hybrid", UNPACKED: "float"}.get(op.mode)
    if wanted is None:
        return "float"
    fitting = [
        s.name
        for s in {**SCHEMES, **OP_SCHEMES}.values()
        if s.compute == wanted
        and (weights is None or s.weights == weights)
        and (wanted != "integer" or s.activations == op.dtype)
        and s.name in _BY_SCHEME
    ]
    return fitting[0] if fitting else None


def _entry(regex: str, scheme: str) -> Entry:
    if scheme == "float":
        return {"regex": regex, "operation": "*", "algorithm_key": "no_quantize"}
    activations, bits, on_integers, are_integers = _BY_SCHEME[scheme]
    weights: Entry = {
        "num_bits": bits,
        "symmetric": True,
        "granularity": "CHANNELWISE",
        "dtype": "INT" if are_integers else "FLOAT",
    }
    config: Entry = {
        "weight_tensor_config": weights,
        "compute_precision": "INTEGER" if on_integers else "FLOAT",
        "explicit_dequantize": not on_integers,
        "skip_checks": False,
        "min_weight_elements": 0,
    }
    if activations is not None:
        config["activation_tensor_config"] = {
            "num_bits": activations,
            "symmetric": activations == 16,
            "granularity": "TENSORWISE",
            "dtype": "INT",
        }
    key = "min_max_uniform_quantize" if are_integers else "float_casting"
    return {"regex": regex, "operation": "*", "algorithm_key": key, "op_config": config}
