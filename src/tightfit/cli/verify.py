"""``tightfit verify`` and ``tightfit diff``: replay recorded outputs, and compare two files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from tightfit.api.verify import diff as run_diff
from tightfit.api.verify import sign as run_sign
from tightfit.api.verify import verify as run_verify
from tightfit.cli.options.shared_options import data_options, json_option
from tightfit.cli.terminal.console import console
from tightfit.data.images.image_options import ImageOptions
from tightfit.plain_values import json_text
from tightfit.units import format_decibels, format_percent, short_name

_SHOWN = 6


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=False)
@click.option(
    "--steps",
    default=None,
    type=click.FloatRange(0),
    help="Largest allowed difference, in quantization steps; by default what the file's arithmetic allows.",
)
@click.option(
    "--key", type=click.Path(path_type=Path), help="Public key (PEM) that the file must be signed by."
)
@click.option("--on", metavar="arm[:CORE]", help="Replay on an emulated ARM core instead of this machine.")
@json_option
def verify(model: Path, as_json: bool, **options: Any) -> int:
    """Replay the probes inside MODEL on this machine and compare the outputs with the recorded ones.

    With --data: whether that is the data it was made with. With --key: whether it is signed by that key and
    as it was signed. Exit code 0: equal, or within the allowed steps, 1: not.
    """
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    found = run_verify(model, options["data"], image=image, key=options["key"], on=options["on"])
    if as_json:
        click.echo(json_text(found.as_json()))
    else:
        click.echo("\n".join(_replayed(found)))
    same = found.data_matches is not False and found.signature_matches is not False
    return 0 if found.within(options["steps"]) and same else 1


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Private Ed25519 key (PEM).")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@json_option
def sign(model: Path, key: Path, output: Path, *, as_json: bool) -> int:
    """Write a copy of MODEL signed with a key, so that 'verify --key' finds any change."""
    written = run_sign(model, output, key)
    click.echo(json_text({"path": str(written)}) if as_json else f"{written}: signed")
    return 0


def _replayed(found: Any) -> list[str]:
    made, here = found.facts.get("versions", {}), found.here
    what = [str(found.facts[k]) for k in ("scheme", "candidate", "target") if found.facts.get(k)]
    source, how = found.facts.get("source", {}), f" ({', '.join(what)})" if what else ""
    lines = [
        f"{found.path}: {found.verdict()}",
        f"made of {source.get('name', 'a model')}{how} with {_versions(made)}",
        f"replayed with {_versions(here)}",
    ]
    lines += [f"step: {step}" for step in found.facts.get("steps", ())]
    if found.facts.get("quality"):
        lines.append(f"when it was written: {found.facts['quality']}")
    lines += [f"when it was written: {sentence}" for sentence in found.facts.get("unfit", ())]
    for d in found.differences:
        if not d.equal and not d.reason:
            lines.append(
                f"probe {d.probe}, '{d.output}': {d.steps:.3g} steps at most, "
                f"{format_percent(d.different)} of values"
            )
    if found.signature_matches is not None:
        lines.append(
            "signed by the key" if found.signature_matches else "not signed by the key, or changed since"
        )
    if found.data_matches is not None:
        lines.append(
            "the data is what it was made with" if found.data_matches else "it was made with other data"
        )
    return lines


def _versions(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@data_options(required=False)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="Largest number of samples."
)
@json_option
def diff(first: Path, second: Path, as_json: bool, **options: Any) -> int:
    """Compare FIRST with SECOND: inputs and outputs, ops, storage, weights, sizes, results.

    Exit code 0: equal, 1: not.
    """
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    found = run_diff(first, second, options["data"], image=image, limit=options["limit"])
    if as_json:
        click.echo(json_text(found.as_json()))
    else:
        _show(found, first, second)
    return 0 if found.equal else 1


def _show(found: Any, first: Path, second: Path) -> None:
    out = console()
    table = Table("", first.name, second.name, box=None)
    for name, pair in (found.sizes | found.ops).items():
        table.add_row(name, *(f"{n:,}" for n in pair))
    out.print(table)
    lines = [*found.ends, *(f"tensor {_short(words)}" for words in found.tensors[:_SHOWN])]
    lines.append(
        f"constants: {found.weights_equal} equal, {found.weights_different} different; tensors stored "
        f"otherwise: {found.tensors_different}; only in the first: {found.only_first}, "
        f"only in the second: {found.only_second}"
    )
    lines += [
        f"constant {short_name(w.name)} ({w.first}, {w.second}): {format_percent(w.different)} of values "
        f"differ, by {w.largest:.3g}"
        for w in found.weights[:_SHOWN]
    ]
    lines += [_output(o, found.samples) for o in found.outputs]
    if found.unanswered:
        lines.append(f"answers were not compared: {found.unanswered}")
    lines.append("equal" if found.equal else "different")
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def _short(words: str) -> str:
    name, colon, rest = words.rpartition(": ")
    return short_name(name) + colon + rest


def _output(found: Any, samples: int) -> str:
    if found.equal:
        return f"output {found.name}: equal on {samples} samples"
    noise = "" if found.snr_db is None else f", {format_decibels(found.snr_db)}"
    decisions = "" if found.decisions is None else f", {format_percent(found.decisions)} equal decisions"
    worst = "" if found.worst is None else f", {found.worst}"
    off = f"off by {found.largest:.3g} at most{noise}{decisions}"
    lost = "".join(f"; {words}" for words in (found.lost, found.weak) if words)
    return f"output {found.name}: {off} ({samples} samples){worst}{lost}"
