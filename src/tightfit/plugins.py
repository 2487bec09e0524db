"""Rows that other packages add to the tables, by entry points; docs/plugins.md has an example.

Groups: ``tightfit.targets`` (a mapping with ``family`` and ``title``), ``tightfit.metrics`` (a function of
outputs and labels), ``tightfit.data`` (file suffix → a function of a path that returns samples) and
``tightfit.recoveries`` (a function of a ``RecoveryState``). A package is imported when its row is used.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tightfit.errors import OptionError, first_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@functools.cache
def entries(table: str) -> Mapping[str, EntryPoint]:
    """Return the rows that installed packages add to a table, by name; nothing is imported.

    Args:
        table: ``targets``, ``metrics``, ``data`` or ``recoveries``.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - it loads 40 modules, most of them of email

    return {entry.name: entry for entry in entry_points(group=f"tightfit.{table}")}


def load_entry(table: str, name: str) -> Any:
    """Return what an entry point names.

    Raises:
        OptionError: its package cannot be imported.
    """
    entry = entries(table)[name]
    try:
        return entry.load()
    except Exception as error:
        raise OptionError(
            f"The plug-in '{name}' ({entry.value}) cannot be loaded: {first_line(error)}. Install it again."
        ) from error
