"""Whether less of a user's metric is better: said by its options, by an attribute, or by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tightfit.errors import OptionError, printable
from tightfit.evaluation.metrics.metric_table import METRICS

LOWER: Final = "lower"
HIGHER: Final = "higher"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d?|\d+")
_ERRORS: Final = frozenset(
    {name for name, row in METRICS.items() if not row.higher_is_better}
    | {"error", "errors", "err", "loss", "mape", "msle", "nll", "crossentropy", "entropy", "divergence"}
    | {"deviance", "deviation", "distance", "hinge"}
)
_GOOD: Final = frozenset(
    {name for name, row in METRICS.items() if row.higher_is_better}
    | {"accuracy", "acc", "score", "iou", "similarity", "quality", "skill", "free", "reward"}
)
_NEGATED: Final = frozenset({"neg", "negative", "negated", "minus", "inverse", "inverted"})


def lower_is_better(
    name: str, options: Mapping[str, Any], function: Callable[..., Any] | None = None
) -> bool:
    """Return True for an error.

    ``(lower)`` and ``(higher)`` decide, then the attribute ``higher_is_better``, then what Keras says of its
    own metrics and losses, then the words of the name: ``mean_absolute_error`` and ``dice_loss`` are errors,
    ``neg_mse`` is none.

    Args:
        name: of the function, with its module or without.
        options: what stood in parentheses.
        function: where it is known.

    Raises:
        OptionError: the options contradict each other or the function, or the words of the name do.

    Example:
        >>> [lower_is_better(name, {}) for name in ("my:mae", "MeanSquaredError", "neg_mse", "hits")]
        [True, True, False, False]
    """
    own = getattr(function, "higher_is_better", None)
    said = {LOWER: True, HIGHER: False}
    stated = {said[key] for key in said if key in options} | (set() if own is None else {not own})
    if len(stated) > 1:
        raise OptionError(
            f"The metric '{printable(name, 60)}' is said to be an error and no error: by its options "
            f"{sorted(said.keys() & options)} and by higher_is_better = {own}. Write one of them."
        )
    if stated:
        return stated.pop()
    keras = _said_by_keras(function)
    return _by_words(name) if keras is None else keras


def _said_by_keras(function: Any) -> bool | None:
    """True for a loss of Keras, and for a metric of Keras that goes down; None where nothing says it."""
    direction = {"down": True, "up": False}.get(str(getattr(function, "_direction", None)))
    if direction is not None:
        return direction
    modules = [getattr(function, "__module__", None), *(c.__module__ for c in type(function).__mro__)]
    return True if any(re.match(r"(tf_)?keras\b.*\.losses\b", str(module)) for module in modules) else None


def _by_words(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name.rpartition(":")[2])]
    errors = [i for i, word in enumerate(words) if word in _ERRORS or word.rstrip("0123456789") in _ERRORS]
    if not errors or _NEGATED.intersection(words):
        return False
    good = [i for i, word in enumerate(words) if word in _GOOD]
    if good and good[-1] > errors[-1]:
        error, score = words[errors[-1]], words[good[-1]]
        raise OptionError(
            f"The name of the metric '{printable(name, 60)}' has '{error}' and '{score}', so it does not say "
            f"whether more is better. Write module:function({LOWER}) or ({HIGHER}), or set "
            "function.higher_is_better to True or False."
        )
    return True
