"""A recipe of litert-quantizer as a scheme with overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.quantization.exchange.recipe_expressions import Matching, expression
from tightfit.quantization.exchange.recipe_rules import (
    ALGORITHMS,
    ALL,
    KINDS,
    ROTATED,
    ROTATION,
    RecipeRule,
    granularity,
    is_symmetric,
    scheme_name,
)
from tightfit.quantization.scheme import OP_SCHEMES, SCHEMES, Scheme

_MOST: Final = 10_000
_EVERYTHING: Final = (".*", "", "^.*$", ".*$", "^.*")
_LARGEST_FILE: Final = 10_000_000


@dataclass(frozen=True)
class QuantizerRecipe:
    """A recipe as this package applies it.

    Args:
        scheme: of the ops that no override names.
        overrides: in order; the first that matches an op counts.
        interface: type of the model's inputs and outputs that the recipe asks for.
        notes: what the recipe asks for and is not done.
    """

    scheme: Scheme
    overrides: tuple[RecipeRule, ...]
    interface: str
    notes: tuple[str, ...]


def read_recipe(path: Path) -> QuantizerRecipe:
    """Return the recipe of a JSON file of litert-quantizer; ``{"default": NAME}`` refers to one beside it.

    Raises:
        DataError: the file cannot be read or is no list of entries.
        OptionError: an entry asks for what no scheme does.
    """
    plain = _load(path)
    if isinstance(plain, dict) and isinstance(plain.get("default"), str):
        beside = path.parent / Path(plain["default"]).name
        plain = _load(beside)
    if not isinstance(plain, list):
        raise DataError(f"'{path}' is no recipe; expected a list of entries as litert-quantizer writes it.")
    return recipe_of(plain)


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(
                f"The recipe '{path}' has {path.stat().st_size:,} bytes; expected a small JSON file."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"The recipe '{path}' cannot be read ({error}); expected JSON of litert-quantizer."
        ) from error


def recipe_of(entries: Sequence[object]) -> QuantizerRecipe:
    """Return the recipe of a list of entries; of entries that match an op the last one counts.

    Raises:
        DataError: an entry is no object.
        OptionError: an entry asks for what no scheme does, or none quantizes anything.

    Example:
        >>> weights = {"num_bits": 8, "granularity": "CHANNELWISE", "dtype": "INT"}
        >>> config = {"weight_tensor_config": weights, "compute_precision": "INTEGER"}
        >>> entry = {"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize"}
        >>> recipe_of([entry | {"op_config": config}]).scheme.name
        'dynamic'
    """
    if len(entries) > _MOST:
        raise DataError(f"The recipe has {len(entries):,} entries; expected at most {_MOST:,}.")
    kept, matching = _in_order([_object(entry) for entry in entries]), Matching()
    rules: list[RecipeRule] = [
        replace(rule, matching=matching) for entry in reversed(kept) for rule in _rules(entry)
    ]
    end = next((i for i, rule in enumerate(rules) if _is_for_all(rule)), None)
    rules = rules if end is None else rules[: end + 1]
    base = next((r.scheme for r in reversed(rules) if r.scheme != "float"), None)
    if base is None:
        raise OptionError("The recipe quantizes nothing; expected an entry with weight_tensor_config.")
    if end is None:
        rules.append(RecipeRule(".*", "float", "the recipe has no entry for it"))
    elif rules[-1].scheme == base:
        rules.pop()
    scheme = replace({**SCHEMES, **OP_SCHEMES}[base], least_narrow=0, smallest=1)
    return QuantizerRecipe(scheme, tuple(rules), _interface(rules, scheme), tuple(_notes(kept)))


def _object(entry: object) -> Mapping[str, object]:
    if not isinstance(entry, Mapping):
        raise DataError(f"An entry of the recipe is a {type(entry).__name__}; expected an object.")
    key = str(entry.get("algorithm_key", ALGORITHMS[0]))
    if key not in ALGORITHMS:
        raise OptionError(unknown_name("algorithm of a recipe", key, ALGORITHMS))
    return entry


def _in_order(entries: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The entries by expression, as they first occur; one for all ops replaces those before it."""
    scopes: dict[str, dict[str, Mapping[str, object]]] = {}
    for entry in entries:
        operation, scope = str(entry.get("operation", ALL)), scopes.setdefault(expression(entry), {})
        if operation == ALL:
            scope.clear()
        scope[operation] = entry
    return [entry for scope in scopes.values() for entry in scope.values()]


def _rules(entry: Mapping[str, object]) -> Iterator[RecipeRule]:
    """The overrides of an entry: for the ops that it quantizes, and for those with too small weights."""
    pattern, operation = expression(entry), str(entry.get("operation", ALL))
    kinds = frozenset() if operation == ALL else frozenset({_KIND_NAMES.get(operation, operation)})
    why = f"the recipe's entry '{pattern[:60]}' {operation}"
    if entry.get("algorithm_key") == "no_quantize":
        yield RecipeRule(pattern, "float", why, kinds=kinds)
        return
    config = _config(entry)
    name = scheme_name(config)
    supported = ROTATED if entry.get("algorithm_key") == ROTATION else KINDS.get(name, frozenset())
    kinds = kinds or supported
    fewest = _number(config.get("min_weight_elements"))
    if fewest:
        yield RecipeRule(pattern, "float", f"{why}: fewer than {fewest:,} weights", kinds=kinds, below=fewest)
    yield RecipeRule(pattern, name, why, kinds=kinds)


_KIND_NAMES: Final = {"CONV_2D_TRANSPOSE": "TRANSPOSE_CONV", "EMBEDDING_LOOKUP": "GATHER"}
"""Names of operations that are no names of the schema → its op; tables of reals are read by GATHER."""


def _config(entry: Mapping[str, object]) -> Mapping[str, object]:
    config = entry.get("op_config")
    return config if isinstance(config, Mapping) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _is_for_all(rule: RecipeRule) -> bool:
    return rule.pattern in _EVERYTHING and not rule.kinds and not rule.fewest and rule.below is None


def _interface(rules: Sequence[RecipeRule], scheme: Scheme) -> str:
    """An entry for all ops with integer activations quantizes the model's inputs and outputs too."""
    asked_for_all = not any(_is_for_all(rule) for rule in rules)
    return (scheme.activations or "float32") if asked_for_all else "float32"


def _notes(entries: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """What is done otherwise than litert-quantizer does it."""
    configs = [_config(e) for e in entries if e.get("algorithm_key") != "no_quantize"]
    keys = {str(e.get("algorithm_key")) for e in entries}
    if {ROTATION, "HADAMARD_ROTATION"} & keys:
        yield "The recipe rotates weights by Hadamard matrices; here they are stored without a rotation."
    if {"GPTQ", "OCTAV", "MSE"} & keys:
        yield "The recipe names an algorithm that chooses the integers of weights: --recover gptq does that."
    if not all(is_symmetric(c) for c in configs):
        yield "The recipe allows zero points in weights; here weights are symmetric."
    blocks = {granularity(c) for c in configs} - {"CHANNELWISE", ""}
    if blocks:
        yield f"The recipe asks for {', '.join(sorted(blocks))} scales of weights; here each channel has one."
