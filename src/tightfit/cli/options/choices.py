"""Options with a known set of values: listed in the help, completed by the shell, checked before work begins.

The values are repeated here so that ``--help`` loads no table; ``tests/cli/test_choices.py`` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from tightfit.errors import unknown_name

TYPES: Final = ("float32", "int8", "uint8", "int16")
SCHEMES: Final = ("float16", "weight8", "weight4", "dynamic", "int8", "int16x8", "int8x4")
TRAINED: Final = ("int8", "int16x8", "int8x4")
LAYOUTS: Final = ("cpu", "npu", "micro")
OBSERVERS: Final = ("minmax", "moving-average", "percentile", "mse", "entropy")
EFFORTS: Final = ("quick", "normal", "thorough")
SCOPES: Final = ("file", "layer", "global")
SCHEDULES: Final = ("polynomial", "constant", "one-shot")
PER: Final = ("tensor", "channel")
INITIAL: Final = ("kmeans++", "linear", "density")
RANGES: Final = ("learned", "average", "fixed")
LABELS: Final = ("auto", "yes", "no", "input")
STORAGES: Final = ("dense", "sparse")
AUGMENTATIONS: Final = ("flip", "shift", "zoom", "mix")
IMPORTANCES: Final = ("magnitude", "reconstruction", "taylor")

PATTERNS: Final = ("unstructured", "2:4", "1x4", "4x1")


class Names(click.ParamType):  # type: ignore[type-arg] # generic in newer stubs only
    """One of some names; an unknown one is refused with the nearest.

    Args:
        what: the noun in messages.
        names: that are completed.
        more: True where others exist, such as a name with a parameter, that the library checks.
    """

    name = "name"

    def __init__(self, what: str, names: Sequence[str], *, more: bool = False) -> None:
        self.what, self.names, self.more = what, tuple(names), more

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name."""
        if not self.more and value not in self.names:
            self.fail(unknown_name(self.what, str(value), self.names), param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names as the help shows them."""
        del param, ctx
        return f"[{'|'.join(self.names)}{'|…' if self.more else ''}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        del ctx, param
        return [CompletionItem(name) for name in self.names if name.startswith(incomplete)]
