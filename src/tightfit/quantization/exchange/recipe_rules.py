"""What an entry of a litert-quantizer recipe means: a scheme, for the ops that its expression finds.

Source: ``recipe_manager.py`` and ``default_policy.py`` of litert-quantizer 0.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tightfit.errors import OptionError
from tightfit.graph.ir import Op
from tightfit.quantization.exchange.recipe_expressions import Matching
from tightfit.quantization.modes import Override

ALL: Final = "*"

CONFIGS: Final[dict[tuple[int | None, int, bool, bool], str]] = {
    (16, 8, True, True): "int16x8",
    (8, 8, True, True): "int8",
    (8, 4, True, True): "int8x4",
    (None, 8, True, True): "dynamic",
    (None, 4, True, True): "weight4",
    (None, 2, True, True): "weight2",
    (None, 8, False, True): "weight8",
    (None, 4, False, True): "weight4-unpacked",
    (None, 16, False, False): "float16",
}
"""(bits of activations, bits of weights, computes on integers, weights are integers) → scheme."""

KINDS: Final[dict[str, frozenset[str]]] = {
    "int8x4": frozenset({"FULLY_CONNECTED", "CONV_2D"}),
    "weight2": frozenset({"FULLY_CONNECTED", "CONV_2D", "GATHER"}),
    "weight4": frozenset({"FULLY_CONNECTED", "CONV_2D", "GATHER"}),
    "weight4-unpacked": frozenset({"FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL", "GATHER"}),
}
"""Scheme → the ops that litert-quantizer quantizes by it; others keep to an earlier entry."""

ROTATION: Final = "DECOMPOSED_HADAMARD_ROTATION"
ALGORITHMS: Final = (
    "min_max_uniform_quantize",
    "float_casting",
    "no_quantize",
    "GPTQ",
    "OCTAV",
    "MSE",
    "HADAMARD_ROTATION",
    ROTATION,
)
ROTATED: Final = frozenset({"FULLY_CONNECTED", "GATHER"})


@dataclass(frozen=True)
class RecipeRule(Override):
    """An override by a regular expression over the names of an op's outputs, as litert-quantizer joins them.

    Args:
        kinds: op kinds that it holds for; empty for all.
        fewest: least number of elements of the largest constant.
        below: the same as an end: ops whose largest constant has as many or more are not meant; None for all.
        matching: matches the expressions of one recipe, within a time for all of them.
    """

    kinds: frozenset[str] = field(default_factory=frozenset)
    fewest: int = 0
    below: int | None = None
    is_optional: bool = True
    matching: Matching = field(default_factory=Matching, compare=False, repr=False)

    def matches(self, op: Op) -> bool:
        """Return True when kind, size and names match.

        Raises:
            OptionError: matching takes too long.
        """
        if self.kinds and op.kind not in self.kinds:
            return False
        largest = max((t.size for t in op.inputs if t is not None and t.is_constant), default=0)
        if largest < self.fewest or (self.below is not None and not 0 < largest < self.below):
            return False
        return self.matching.finds(self.pattern, "".join(f"{t.name};" for t in op.outputs))


def scheme_name(config: Mapping[str, object]) -> str:
    """Return the scheme of an entry's ``op_config``.

    Raises:
        OptionError: no scheme has these types.

    Example:
        >>> weights = {"num_bits": 8, "dtype": "INT"}
        >>> scheme_name({"weight_tensor_config": weights, "compute_precision": "INTEGER"})
        'dynamic'
    """
    weights, activations = (
        _tensor(config, "weight_tensor_config"),
        _tensor(config, "activation_tensor_config"),
    )
    bits = activations.get("num_bits") if activations else None
    on_integers = config.get("compute_precision") == "INTEGER" and not config.get("explicit_dequantize")
    key = (bits, weights.get("num_bits"), on_integers, weights.get("dtype", "INT") == "INT")
    found = next((name for known, name in CONFIGS.items() if known == key), None)
    if found is None:
        raise OptionError(
            f"Received {weights.get('num_bits')}-bit weights with {bits or 'float'} activations in a recipe; "
            f"expected one of {', '.join(dict.fromkeys(CONFIGS.values()))}."
        )
    return found


def _tensor(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def granularity(config: Mapping[str, object]) -> str:
    """Return ``CHANNELWISE``, ``TENSORWISE`` or a blockwise name of the weights."""
    return str(_tensor(config, "weight_tensor_config").get("granularity", "CHANNELWISE"))


def is_symmetric(config: Mapping[str, object]) -> bool:
    """Return whether the weights have no zero points."""
    return bool(_tensor(config, "weight_tensor_config").get("symmetric", True))
