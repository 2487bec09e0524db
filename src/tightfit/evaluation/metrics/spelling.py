"""How metrics are spelled: ``name(option=value,…)@output=limit``, several with commas between them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.metrics.direction import LOWER, lower_is_better
from tightfit.evaluation.metrics.metric import Metric
from tightfit.evaluation.metrics.metric_table import METRICS, OLDER_NAMES, find_metric
from tightfit.plugins import entries, load_entry

AUTO: Final = "auto"
_FORM = re.compile(
    r"(?P<name>[^@(=,\s]+)(\((?P<options>[^()]*)\))?(@(?P<output>[^=]+))?(=(?P<limit>.*))?", re.DOTALL
)
_EXPECTED = (
    "expected name, name@output or name(option=value)@output, as in map50(decoder=yolov8) or top1@class"
)


@dataclass(frozen=True)
class Limit:
    """How much worse a metric may be.

    Args:
        amount: in the metric's unit, a fraction 0–1 for shares; or a share of the original's value.
        relative: True for a share of the original's value.
    """

    amount: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str, name: str) -> Limit:
        """Return the limit of ``0.01`` or ``5%``.

        Raises:
            OptionError: for anything else, or below 0.

        Example:
            >>> Limit.parse("0.01", "top1"), Limit.parse("5%", "rmse")
            (Limit(amount=0.01, relative=False), Limit(amount=0.05, relative=True))
        """
        relative = text.strip().endswith("%")
        try:
            amount = float(text.strip().removesuffix("%"))
        except ValueError:
            amount = math.nan
        if not (math.isfinite(amount) and amount >= 0):
            raise OptionError(
                f"Received the limit '{text}' for {name}; expected a number of at least 0, such as "
                "0.01, or a share "
                "of the original's value, such as 5%."
            )
        return cls(amount / 100 if relative else amount, relative)

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


@dataclass(frozen=True)
class Wanted:
    """One metric as the user asks for it.

    Args:
        name: of a row, ``auto``, ``module:function``, or of a function that was passed.
        output: that it scores; None leaves it to the labels.
        options: what stood in parentheses.
        limit: how much worse it may be, or None.
        function: the user's own, where one was passed.
    """

    name: str
    output: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: Limit | None = None
    function: Callable[..., Any] | None = None

    @property
    def row(self) -> Metric | None:
        """The row of a built-in metric."""
        return None if self.is_own else find_metric(self.name)

    @property
    def is_own(self) -> bool:
        """True for a user's function."""
        return self.function is not None or ":" in self.name

    @property
    def key(self) -> str:
        """Its name in results: without options, with ``(lower)`` for a user's error."""
        lower = "(lower)" if self.is_own and LOWER in self.options else ""
        name = OLDER_NAMES.get(self.name, self.name)
        return f"{name}{lower}" + (f"@{self.output}" if self.output else "")


def parse_metrics(text: str) -> list[Wanted]:
    """Return the metrics of a text, in order.

    Raises:
        OptionError: for an unknown name or option, or a text that is none.

    Example:
        >>> [w.key for w in parse_metrics("map50(decoder=yolov8,nms=0.5)=0.01,top1@class")]
        ['map50', 'top1@class']
    """
    wanted = [_parse(part) for part in _split(text)]
    keys = [w.key for w in wanted]
    if not wanted or len(set(keys)) < len(keys):
        raise OptionError(f"Received the metrics '{text}'; expected one or more, each once.")
    return wanted


def split_limits(text: str) -> tuple[float | None, list[Wanted]]:
    """Return the one number of ``0.01``, or the metrics with a limit each of ``map50=0.01,top1=0.005``.

    Raises:
        OptionError: when a metric has no limit, or the text is neither.

    Example:
        >>> split_limits("0.02"), split_limits("rmse=5%")[1][0].limit
        ((0.02, []), Limit(amount=0.05, relative=True))
    """
    try:
        return float(text), []
    except ValueError:
        pass
    if re.fullmatch(r"\s*[0-9.]+\s*%\s*", text):
        return Limit.parse(text, "the metric").amount, []
    wanted = parse_metrics(text)
    without = [w.key for w in wanted if w.limit is None]
    if without:
        raise OptionError(
            f"Received --max-drop {text}; {without[0]} has no limit. Expected one number, or metric=number "
            "for each, "
            "as in map50=0.01,top1@class=0.005."
        )
    return None, wanted


def spelled(wanted: Wanted) -> str:
    """Return a metric as the user may write it, without its limit.

    Example:
        >>> spelled(parse_metrics("map50(decoder=yolov8)@boxes=0.01")[0])
        'map50(decoder=yolov8)@boxes'
    """
    options = ",".join(key if value is True else f"{key}={value}" for key, value in wanted.options.items())
    output = f"@{wanted.output}" if wanted.output else ""
    return f"{wanted.name}{f'({options})' if options else ''}{output}"


def combine(metric: str | Sequence[Wanted], limits: Sequence[Wanted]) -> list[Wanted]:
    """Return the metrics that are measured: those asked for, then others with a limit.

    Args:
        metric: the text of ``--metric``, or parsed.
        limits: metrics of ``--max-drop``.
    """
    asked = parse_metrics(metric) if isinstance(metric, str) else list(metric)
    if [w.name for w in asked] == [AUTO] and limits:
        return list(limits)
    by_key = {w.key: w for w in asked}
    for limited in limits:
        known = by_key.get(limited.key)
        by_key[limited.key] = limited if known is None else replace(known, limit=limited.limit)
    return list(by_key.values())


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _parse(text: str) -> Wanted:
    match = _FORM.fullmatch(text)
    if match is None:
        raise OptionError(f"Received the metric '{text}'; {_EXPECTED}.")
    name, output, limit = match["name"], match["output"], match["limit"]
    options = _options(match["options"] or "", text)
    row = find_metric(name)
    added = None
    if row is None and name in entries("metrics"):
        added = load_entry("metrics", name)
    elif row is None and name != AUTO and ":" not in name:
        raise OptionError(unknown_name("metric", name, [*METRICS, *entries("metrics"), AUTO]))
    if row is not None:
        _check_options(options, row)
    elif name != AUTO:
        options = directed(name, options, added)
    return Wanted(name, output, options, None if limit is None else Limit.parse(limit, name), added)


def directed(
    name: str, options: Mapping[str, Any], function: Callable[..., Any] | None = None
) -> dict[str, Any]:
    """Return the options of a user's metric with ``lower`` where it is an error, also by its name.

    Raises:
        OptionError: its direction is unknown, see ``lower_is_better``.
    """
    lower = lower_is_better(name, options, function)
    return {**options, LOWER: True} if lower else dict(options)


def _options(text: str, whole: str) -> dict[str, Any]:
    """The options in parentheses; a word alone is a flag."""
    found: dict[str, Any] = {}
    for part in filter(None, (p.lstrip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not key or (equals and not value):
            raise OptionError(f"Received the option '{part}' in '{whole}'; {_EXPECTED}.")
        found[key] = value if equals else True
    return found


_FREE: Final = {
    "boxes",
    "scores",
    "scores_are",
    "scales",
    "output",
    "macro",
    "micro",
    "width",
    "threshold",
    "ignore",
}
"""Options that several metrics take without a line of their own."""


def _check_options(options: Mapping[str, Any], row: Metric) -> None:
    for key in options:
        if key not in row.options and key not in _FREE:
            raise OptionError(unknown_name(f"option of {row.name}", key, [*row.options]))
