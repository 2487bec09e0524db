"""``tightfit check``, ``advise`` and ``models``: what fits a device, before anything is made for it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from tightfit.api.check import advise as run_advise
from tightfit.api.check import check as run_check
from tightfit.api.check import models as run_models
from tightfit.api.parameters.arguments import parse_size
from tightfit.cli.options import completions
from tightfit.cli.options.shared_options import data_options, json_option
from tightfit.cli.terminal.console import console
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.plain_values import json_text
from tightfit.result import plain
from tightfit.search.advisor import parse_answers, questions, walk
from tightfit.targets.profile import find_target, targets
from tightfit.targets.tools.tool_table import TOOLS
from tightfit.units import format_percent

_LISTED = 20


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    shell_complete=completions.targets,
    help="Device to check for, such as ethos-u55-128; 'list' lists all.",
)
@click.option(
    "--memory", metavar="SIZE", help="Memory of the device, such as 256KiB; a number of bytes from 1000 on."
)
@click.option(
    "--fix",
    "fixing",
    is_flag=True,
    help="Rewrite ops that the device does not accelerate, where an exact rewrite is known.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The .tflite to write with --fix.")
@click.option(
    "--no-compile",
    is_flag=True,
    help="Do not run the target's compiler, interpreter or accelerator; check by tables only.",
)
@data_options(required=False)
@click.option("--prove", is_flag=True, help="Fail unless the target's own tool can check the model.")
@json_option
def check(model: Path | None, as_json: bool, **options: Any) -> int:
    """Check op by op whether a device accelerates MODEL, with the reason and the change to make.

    Exit code 1: the target cannot run the model, computes wrong values, its memory is too small, or values
    of the data overflow its float16.
    """
    if options["target"] == "list":
        _list_targets(as_json=as_json)
        return 0
    if model is None:
        raise OptionError("Received no MODEL; expected a file to check, or --target list.")
    if options["fixing"] != (options["output"] is not None):
        raise OptionError("--fix writes a file: pass --fix and -o FILE.tflite together.")
    if options["prove"]:
        _refuse_unproven(options["target"], no_compile=options["no_compile"])
    found = run_check(
        model,
        options["target"],
        memory=options["memory"],
        output=options["output"],
        data=options["data"],
        image=ImageOptions.parse(options["image"]) if options["image"] else None,
        compile=not options["no_compile"],
    )
    if as_json:
        click.echo(json_text(found.as_json()))
    else:
        _show(found)
    return 0 if found.runs else 1


def _refuse_unproven(name: str, *, no_compile: bool) -> None:

    if no_compile:
        raise OptionError("Received --prove and --no-compile; pass one of them.")
    family = find_target(name).family
    if family.tool not in TOOLS:
        raise OptionError(
            f"No tool for the target '{name}' runs here: its rules come from documents ({family.source}). "
            "Leave out --prove."
        )
    if missing := TOOLS[family.tool].available():
        raise OptionError(missing)


def _show(found: Any) -> None:
    out, verdict, proof = console(), found.verdict, found.proof
    if found.before is not None:
        out.print(Text(f"before: {found.before.summary()}"), soft_wrap=True)
    for row in found.applied:
        out.print(Text(f"{row.name}: {row.effect} ({len(row.ops)})"))
    if found.answers is not None:
        out.print(Text(found.comparison()), soft_wrap=True)
    out.print(Text(verdict.summary()), soft_wrap=True)
    places = [p for p in verdict.placements if not p.accelerated or p.wrong]
    if places and not verdict.refused:
        out.print(_places(places))
    document = verdict.target.family.document
    by = [f"By document, not by the device: {document}."] if document else []
    said = [*(proof.lines() if proof is not None else ()), *filter(None, [found.rounding()])]
    for line in [*said, *by, *verdict.target.family.notes]:
        out.print(Text(line), soft_wrap=True)


def _places(places: Sequence[Any]) -> Table:
    """The ops that fall back or are computed wrongly, those with the same reason once, with their number."""
    table = Table("ops", "first", "why", "what to do", box=None, padding=(0, 2, 0, 0))
    counts = Counter((p.kind, p.rule) for p in places)
    for (kind, rule), count in counts.most_common(_LISTED):
        first = next(p for p in places if (p.kind, p.rule) == (kind, rule))
        why = f"wrong values: {first.wrong}" if first.wrong else first.reason
        table.add_row(
            f"{count} {kind}", Text(f"#{first.index} {first.name[:40]}"), Text(why), Text(first.fix)
        )
    return table


def _list_targets(*, as_json: bool) -> None:
    if as_json:
        rows = [{"name": t.name, "device": t.title, "aliases": list(t.aliases)} for t in targets().values()]
        click.echo(json_text(rows))
        return
    table = Table("name", "device", "also", box=None)
    for target in targets().values():
        table.add_row(target.name, target.title, ", ".join(target.aliases))
    console().print(table)


@click.command()
@click.option(
    "--answer",
    multiple=True,
    metavar="QUESTION=ANSWER",
    help="An answer to a question; may be repeated; --list shows all.",
)
@click.option("--list", "listing", is_flag=True, help="List all questions and answers.")
@json_option
def advise(answer: tuple[str, ...], listing: bool, as_json: bool) -> int:
    """Recommend an optimization by a few questions, on the terminal or by --answer in scripts."""
    if listing and as_json:
        click.echo(json.dumps([plain(question) for question in questions().values()], indent=1))
        return 0
    if listing:
        for question in questions().values():
            click.echo(f"{question.name}: {question.text}")
            for option in question.options.values():
                click.echo(f"  {question.name}={option.name}  {option.text}")
        return 0
    given = parse_answers(answer)
    while sys.stdin.isatty() and not as_json:
        missing = walk(given)[1]
        if missing is None:
            break
        given[missing.name] = _ask(missing)
    advice = run_advise(given)
    click.echo(json_text(advice.as_json()) if as_json else advice.text())
    return 0


def _ask(question: Any) -> str:
    click.echo(question.text)
    options = list(question.options.values())
    for number, option in enumerate(options, start=1):
        click.echo(f"  {number}  {option.text}")
    chosen = click.prompt("Number", type=click.IntRange(1, len(options)))
    return str(options[chosen - 1].name)


@click.command()
@click.option("--max-size", metavar="SIZE", help="Largest file, such as 5MB; a number of bytes from 1000 on.")
@click.option("--max-macs", metavar="COUNT", help="Most multiply–accumulates, such as 300M.")
@click.option("--min-accuracy", type=float, help="Least published accuracy, as a fraction: 0.7 is 70 %.")
@click.option(
    "--target",
    metavar="NAME",
    shell_complete=completions.targets,
    help="Only models in a form that this device runs.",
)
@click.option("--task", metavar="WORD", help="Only models whose task has this word, such as detection.")
@json_option
def models(max_size: str | None, max_macs: str | None, as_json: bool, **options: Any) -> int:
    """List hosted models that fit a budget, with their published accuracy and their address."""
    found = run_models(
        max_size=max_size,
        max_macs=parse_size(max_macs),
        min_accuracy=options["min_accuracy"],
        target=options["target"],
        task=options["task"],
    )
    if as_json:
        click.echo(json_text([m.as_json() for m in found]))
        return 0
    if not found:
        click.echo("No model of the catalogue fits these limits. Raise the sizes, or lower --min-accuracy.")
        return 0
    table = Table("model", "task", "input", "M MACs", "M parameters", "MB", "accuracy", "form", box=None)
    for m in found:
        sizes = (
            _millions(m.macs, 0),
            _millions(m.parameters, 2),
            f"{m.size_bytes / 1e6:.1f}",
            "—" if m.accuracy is None else format_percent(m.accuracy),
        )
        table.add_row(m.name, m.task, "×".join(map(str, m.input)), *sizes, m.form)
    out = console()
    out.print(table)
    for m in found[:1]:
        hosted = f"\n{m.name} is in {m.page}\nfetch and check it:\n  {m.command(options['target'])}"
        out.print(Text(hosted), soft_wrap=True)
    return 0


def _millions(count: int | None, digits: int) -> str:
    return "—" if count is None else f"{count / 1e6:.{digits}f}"
