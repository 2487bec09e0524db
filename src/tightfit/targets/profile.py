"""Targets and their families, read from ``profiles.toml``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from tightfit.errors import OptionError, unknown_name
from tightfit.plugins import entries, load_entry
from tightfit.quantization.scheme import schemes_of
from tightfit.targets.limits.constraints import LimitRule

_RULE_FIELDS = {"limit", "ops", "except", "source", "refuses", "wrong"}


@dataclass(frozen=True)
class Family:
    """Devices that take the same ops by the same rules.

    Args:
        name: key in ``profiles.toml``.
        title: for people.
        ops: builtin operators that can be accelerated.
        rules: in the order in which they are tried; the first broken one is the reason.
        pieces: which pieces of a graph are placed: ``all``, the ``first`` or the ``longest``.
        fallback: what runs the ops that are not accelerated; "" when nothing does.
        strict: no file is written for it that it refuses whole or computes wrongly.
        tool: name in ``tools.table.TOOLS`` of what proves the verdict, or "".
        layout: the layout of ``quantization.layouts`` for this family.
        kinds: kinds of schemes that it takes, best first; see ``Scheme.kind``.
        one_scale: builtin operators whose weights must have one scale, not one a channel.
        interface: type of inputs and outputs that leaves nothing to convert on the fallback.
        source: the documents that the rules come from.
        document: the document and its revision, where nothing here can prove the rules; "" elsewhere.
        needs_tool: no rules are known: only the tool judges.
        float16: its devices compute floats in float16; see ``places.float16``.
        notes: what the rules do not say.
        exceptions: limit → why the tool does not show it on a model of one op.
    """

    name: str
    title: str
    ops: frozenset[str]
    rules: tuple[LimitRule, ...]
    fallback: str
    layout: str
    kinds: tuple[str, ...]
    source: str
    pieces: str = "all"
    strict: bool = False
    tool: str = ""
    document: str = ""
    needs_tool: bool = False
    float16: bool = False
    interface: str = "float32"
    one_scale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    exceptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def schemes(self) -> tuple[str, ...]:
        """Names of the schemes that it takes, best first."""
        return schemes_of(self.kinds)


@dataclass(frozen=True)
class Target:
    """One device.

    Args:
        name: what users call it.
        family: how it judges ops.
        memory_bytes: memory for activations (and, where ``weights_in_memory``, weights); None when not known.
        flash_bytes: memory that holds the file; None when not known.
        details: other numbers of the device, for people.
    """

    name: str
    family: Family
    title: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_holds: str = "activations"
    flash_bytes: int | None = None
    source: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files("tightfit.targets").joinpath("profiles.toml").read_text(encoding="utf-8"))


def _boards() -> dict[str, Any]:
    """Boards with a microcontroller, which all take the family ``micro``."""
    text = files("tightfit.targets").joinpath("boards.toml").read_text(encoding="utf-8")
    shared = {"family": "micro", "memory_holds": "arena"}
    return {name: shared | table for name, table in tomllib.loads(text)["boards"].items()}


@functools.cache
def families() -> dict[str, Family]:
    """Return every family by name."""
    return {name: _family(name, table) for name, table in _document()["families"].items()}


@functools.cache
def targets() -> dict[str, Target]:
    """Return every target by name, in the order of the file, those of plug-ins last.

    Example:
        >>> targets()["ethos-u55-128"].details["macs_per_cycle"]
        128
    """
    added = {name: load_entry("targets", name) for name in entries("targets")}
    tables = _document()["targets"] | _boards() | added
    return {name: _target(name, table) for name, table in tables.items()}


def find_target(name: str) -> Target:
    """Return the target of a name or an alias.

    Raises:
        OptionError: there is none; the closest match is named.

    Example:
        >>> find_target("hexagon").name
        'qualcomm-htp'
    """
    known = targets()
    aliases = {alias: target for target in known.values() for alias in target.aliases}
    found = known.get(name) or aliases.get(name)
    if found is None:
        raise OptionError(unknown_name("target", name, [*known, *aliases]))
    return found


def _family(name: str, table: Mapping[str, Any]) -> Family:
    simple = (
        "title", "fallback", "layout", "source", "pieces", "strict", "tool", "document", "needs_tool",
        "interface", "float16",
    )  # fmt: skip
    return Family(
        name=name,
        ops=frozenset(table.get("ops", "").split()),
        rules=tuple(_rule(r, table["source"]) for r in table.get("rules", ())),
        kinds=tuple(table["kinds"]),
        one_scale=tuple(table.get("one_scale", "").split()),
        notes=tuple(table.get("notes", ())),
        exceptions=dict(table.get("exceptions", {})),
        **{key: table[key] for key in simple if key in table},
    )


def _rule(table: Mapping[str, Any], source: str) -> LimitRule:
    return LimitRule(
        table["limit"],
        {k: v for k, v in table.items() if k not in _RULE_FIELDS},
        frozenset(table.get("ops", "").split()),
        frozenset(table.get("except", "").split()),
        table.get("source", source),
        bool(table.get("refuses", False)),
        bool(table.get("wrong", False)),
    )


def _target(name: str, table: Mapping[str, Any]) -> Target:
    own = ("title", "memory_bytes", "memory_holds", "flash_bytes", "source")
    return Target(
        name=name,
        family=families()[table["family"]],
        aliases=tuple(table.get("aliases", ())),
        details={k: v for k, v in table.items() if k not in (*own, "family", "aliases")},
        **{key: table[key] for key in own if key in table},
    )
