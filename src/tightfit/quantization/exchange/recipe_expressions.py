"""Regular expressions of a recipe, which a stranger may have written: none of them takes long to match."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from tightfit.errors import OptionError, printable

_LONGEST: Final = 2000
_MOST_REPEATS: Final = 3
_MOST_WAYS: Final = 256
_MOST_STEPS: Final = 1e9
"""Steps of one match at most, about ten seconds."""

_MOST_S: Final = 10.0
"""Time of all matches of a recipe at most, seconds."""

_PARTS: Final = re.compile(
    r"\\.|\[(?:\\.|[^\]\\])*\]|(?P<group>\)(?:[*+]|\{))|\(\?|(?P<repeat>[*+]|\{\d*,?\d*\})\??"
    r"|\?|\||\(|\)"
)
_CURE: Final = "Name the ops one by one."


def expression(entry: Mapping[str, object]) -> str:
    """Return the regular expression of an entry.

    Raises:
        OptionError: it is none, or could take very long: a repeated group, more than three repeats, or more
            than 256 ways to choose the parts that may be left out or be one of several.

    Example:
        >>> expression({"regex": "block_1/.*"})
        'block_1/.*'
    """
    text = str(entry.get("regex", ".*"))
    cost = _cost(text)
    if len(text) > _LONGEST or cost.groups or cost.repeats > _MOST_REPEATS or cost.ways > _MOST_WAYS:
        raise OptionError(
            f"Received the regex '{printable(text, 80)}' in a recipe; expected at most {_MOST_REPEATS} "
            f"repeats, {_MOST_WAYS} ways to choose and no repeated group. {_CURE}"
        )
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise OptionError(
            f"Received the regex '{printable(text, 80)}' in a recipe, which is none ({error}); expected one "
            "of Python."
        ) from error
    return text


@dataclass
class _Cost:
    """What makes a match slow: groups and parts that repeat, and how many ways choices can be made."""

    groups: int = 0
    repeats: int = 0
    ways: int = 1

    def steps(self, characters: int) -> float:
        """Return the steps of a search in a text at most."""
        length = self.repeats + 1
        return float(characters) ** length / math.factorial(length) * self.ways


def _cost(text: str) -> _Cost:
    """Return the cost of the slowest of the alternatives ``a|b|c`` of an expression.

    These are tried one after another; ``.*`` at the start and the end costs nothing.
    """
    inner = re.sub(r"^\^?(\.\*)+|(\.\*)+\$?$", "", text)
    costs, open_groups = [_Cost()], list[int]()
    for part in _PARTS.finditer(inner):
        last, word = costs[-1], part[0]
        if word in ("(", "(?"):
            open_groups.append(1)
        elif word == "|" and open_groups:
            open_groups[-1] += 1
        elif word == "|":
            costs.append(_Cost())
        elif word.startswith(")"):
            last.ways *= open_groups.pop() if open_groups else 1
            last.groups += part["group"] is not None
        last.ways *= 2 if word == "?" else 1
        last.repeats += part["repeat"] is not None
    return _Cost(*(max(getattr(c, f.name) for c in costs) for f in fields(_Cost)))


class Matching:
    """Matches expressions within a time for all of them."""

    def __init__(self) -> None:
        self._spent_s = 0.0

    def finds(self, pattern: str, text: str) -> bool:
        """Return whether an expression finds something in a text.

        Args:
            pattern: what ``expression`` returned.
            text: names of a model's tensors.

        Raises:
            OptionError: the match may take too long, or all took too long.

        Example:
            >>> Matching().finds("conv_[0-9]", "net/conv_1;")
            True
        """
        if _cost(pattern).steps(len(text)) > _MOST_STEPS or self._spent_s > _MOST_S:
            raise OptionError(
                f"The regex '{printable(pattern, 80)}' of a recipe takes too long on a name of {len(text):,} "
                f"characters. {_CURE}"
            )
        start = time.process_time()
        found = re.search(pattern, text) is not None
        self._spent_s += time.process_time() - start
        return found
