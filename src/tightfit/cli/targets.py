"""``tightfit check``, ``advise`` and ``models``: what fits a device, before anything is made for it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tightfit.cli.options import json_option, parse_size

_LISTED = 20


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    help="The device, for example ethos-u55-128; 'list' lists them.",
)
@click.option("--memory", metavar="SIZE", help="Memory of the device, for example 256KiB.")
@click.option("--fix", "fixing", is_flag=True, help="Rewrite what falls back, where a rewrite is known.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The fixed .tflite to write.")
@click.option("--no-compile", is_flag=True, help="Do not run the target's own compiler or interpreter.")
@json_option
def check(model: Path, as_json: bool, **options: Any) -> int:
    """Tell op by op whether TARGET accelerates MODEL, why not, and what to change.

    Exit code 1: the target cannot run the model, or its memory is too small.
    """
    from tightfit.convert.conversion import open_model  # noqa: PLC0415 - loaded when used
    from tightfit.errors import OptionError  # noqa: PLC0415 - loaded when used
    from tightfit.graph.reader import read_model  # noqa: PLC0415 - loaded when used
    from tightfit.targets.check import check as judge  # noqa: PLC0415 - loaded when used
    from tightfit.targets.profile import find_target  # noqa: PLC0415 - loaded when used
    from tightfit.targets.proof import prove  # noqa: PLC0415 - loaded when used

    if options["target"] == "list":
        _list_targets()
        return 0
    if options["fixing"] != (options["output"] is not None):
        raise OptionError("--fix writes a file: pass --fix and -o FILE.tflite together.")
    target, memory = find_target(options["target"]), parse_size(options["memory"])
    read = read_model(open_model(model))
    applied: list[Any] = []
    if options["fixing"]:
        read, applied = _fixed(read, target, options["output"])
    verdict = judge(read, target, memory_bytes=memory)
    proof = None if options["no_compile"] else prove(read, verdict)
    if as_json:
        plain = verdict.as_json() | {"proof": None if proof is None else proof.as_json()}
        plain |= {"applied": [{"fix": a.name, "effect": a.effect, "ops": list(a.ops)} for a in applied]}
        click.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        _show(verdict, proof, applied)
    return 0 if verdict.runs and verdict.fits else 1


def _fixed(model: Any, target: Any, output: Path) -> tuple[Any, list[Any]]:
    from tightfit.graph.writer import write_model  # noqa: PLC0415 - loaded when used
    from tightfit.targets.fix import fix  # noqa: PLC0415 - loaded when used

    fixed, applied = fix(model, target)
    write_model(fixed, output)
    return fixed, applied


def _show(verdict: Any, proof: Any, applied: list[Any]) -> None:
    console = Console(highlight=False)
    for row in applied:
        console.print(Text(f"{row.name}: {row.effect} ({len(row.ops)})"))
    console.print(Text(verdict.summary()), soft_wrap=True)
    if verdict.fallbacks and not verdict.refused:
        console.print(_fallbacks(verdict))
    for line in [*(proof.lines() if proof is not None else ()), *verdict.target.family.notes]:
        console.print(Text(line), soft_wrap=True)


def _fallbacks(verdict: Any) -> Table:
    """The fallbacks, those with the same reason once, with their number."""
    table = Table("ops", "first", "why", "what to do", box=None, padding=(0, 2, 0, 0))
    counts = Counter((p.kind, p.rule) for p in verdict.fallbacks)
    for (kind, rule), count in counts.most_common(_LISTED):
        first = next(p for p in verdict.fallbacks if (p.kind, p.rule) == (kind, rule))
        table.add_row(
            f"{count} {kind}", Text(f"#{first.index} {first.name[:40]}"), Text(first.reason), Text(first.fix)
        )
    return table


def _list_targets() -> None:
    from tightfit.targets.profile import targets  # noqa: PLC0415 - loaded when used

    table = Table("name", "device", "also", box=None)
    for target in targets().values():
        table.add_row(target.name, target.title, ", ".join(target.aliases))
    Console().print(table)


@click.command()
@click.option("--answer", multiple=True, metavar="QUESTION=ANSWER", help="An answer; --list shows all.")
@click.option("--list", "listing", is_flag=True, help="Show every question with its answers.")
@json_option
def advise(answer: tuple[str, ...], listing: bool, as_json: bool) -> int:
    """Find the way to optimize a model: by questions on a terminal, or by --answer in scripts."""
    from tightfit.errors import OptionError  # noqa: PLC0415 - loaded when used
    from tightfit.search.advisor import parse_answers, questions, walk  # noqa: PLC0415 - loaded when used

    if listing:
        for question in questions().values():
            click.echo(f"{question.name}: {question.text}")
            for option in question.options.values():
                click.echo(f"  {question.name}={option.name}  {option.text}")
        return 0
    given = parse_answers(answer)
    advice, missing = walk(given)
    while missing is not None and sys.stdin.isatty() and not as_json:
        given[missing.name] = _ask(missing)
        advice, missing = walk(given)
    if missing is not None or advice is None:
        name, names = (missing.name, "|".join(missing.options)) if missing else ("", "")
        raise OptionError(f"The way depends on '{name}'. Answer it with --answer {name}={names}.")
    click.echo(json.dumps(advice.as_json(), indent=1, ensure_ascii=False) if as_json else advice.text())
    return 0


def _ask(question: Any) -> str:
    click.echo(question.text)
    options = list(question.options.values())
    for number, option in enumerate(options, start=1):
        click.echo(f"  {number}  {option.text}")
    chosen = click.prompt("Number", type=click.IntRange(1, len(options)))
    return str(options[chosen - 1].name)


@click.command()
@click.option("--max-size", metavar="SIZE", help="Largest file, for example 5MB.")
@click.option("--max-macs", metavar="COUNT", help="Most multiply–accumulates, for example 300M.")
@click.option("--min-accuracy", type=float, help="Least published accuracy, a fraction.")
@click.option("--target", metavar="NAME", help="Only models in a form that this device takes.")
@json_option
def models(max_size: str | None, max_macs: str | None, as_json: bool, **options: Any) -> int:
    """List ready models that fit a budget, with their published numbers and where they are hosted."""
    from tightfit.targets.models import find_models  # noqa: PLC0415 - loaded when used

    found = find_models(
        max_size_bytes=parse_size(max_size),
        max_macs=parse_size(max_macs),
        min_accuracy=options["min_accuracy"],
        target=options["target"],
    )
    if as_json:
        click.echo(json.dumps([m.as_json() for m in found], indent=1, ensure_ascii=False))
        return 0
    table = Table("model", "task", "input", "M MACs", "M parameters", "MB", "accuracy", "form", box=None)
    for m in found:
        sizes = (
            _millions(m.macs, 0),
            _millions(m.parameters, 2),
            f"{m.size_bytes / 1e6:.1f}",
            f"{m.accuracy:.1%}",
        )
        table.add_row(m.name, m.task, "×".join(map(str, m.input)), *sizes, m.form)
    console = Console(highlight=False)
    console.print(table)
    for m in found[:1]:
        console.print(
            Text(f"\n{m.name} is hosted at {m.page}\nfetch and check it:\n  {m.command(options['target'])}")
        )
    return 0


def _millions(count: int | None, digits: int) -> str:
    return "—" if count is None else f"{count / 1e6:.{digits}f}"
