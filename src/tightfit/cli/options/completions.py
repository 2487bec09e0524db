"""Values of options that the shell completes from tables which are loaded only then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import click

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _last(incomplete: str, names: Iterable[str]) -> list[str]:
    """The names that the last of several with commas may become.

    Example:
        >>> _last("gptq,smo", ["gptq", "smoothing"])
        ['gptq,smoothing']
    """
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in names if name.startswith(last)]


def _completes(module: str, names: Callable[[Any], Iterable[str]]) -> Complete:
    """Return what ``click`` calls for the values of an option."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        del context, parameter
        return _last(incomplete, names(import_module(module)))

    return complete


targets = _completes("tightfit.targets.profile", lambda module: module.targets())
recoveries = _completes("tightfit.recovery.steps", lambda module: module.RECOVERIES)
metrics = _completes("tightfit.evaluation.metrics.metric_table", lambda module: module.METRICS)
candidates = _completes(
    "tightfit.search.candidates.recipes", lambda module: (recipe.name for recipe in module.recipes())
)
