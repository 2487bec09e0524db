"""``tightfit doctor``: check calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from tightfit.api.parameters.signature_data import model_of_signature
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.options.shared_options import data_options, json_option, seed_option, signature_option
from tightfit.cli.terminal.console import console
from tightfit.data.images.image_options import ImageOptions
from tightfit.diagnosis.doctor.checks import CHECKS
from tightfit.diagnosis.doctor.evidence import ERROR, Finding
from tightfit.diagnosis.doctor.examine import doctor as run_doctor
from tightfit.plain_values import json_text

_STYLES = {"error": "bold red", "warning": "bold yellow"}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option(
    "--calibration-data",
    metavar="DATA",
    help="Separate samples for calibration; by default a part of --data.",
)
@click.option(
    "--calibration", default=100, show_default=True, type=click.IntRange(1), help="Calibration samples."
)
@seed_option
@signature_option
@json_option
def doctor(model: Path, as_json: bool, **options: Any) -> int:
    """Check the calibration data of MODEL: preprocessing, ranges, labels, duplicates and more.

    Exits with 1 where an error is found; warnings exit with 0.
    """
    image = ImageOptions.parse(options.pop("image")) if options["image"] else options.pop("image")
    with Bars(quiet=as_json) as bars:
        bars.stage("examining", options["calibration"])
        model = model_of_signature(model, options.pop("signature"))
        findings = run_doctor(model, options.pop("data"), image=image, progress=bars.advance, **options)
    if as_json:
        click.echo(as_document(findings, len(CHECKS)))
    else:
        console().print(as_text(findings, len(CHECKS)))
        if findings.power:
            click.echo(findings.power)
    return int(any(f.severity == ERROR for f in findings))


def as_document(findings: Sequence[Finding], checks: int) -> str:
    """Return the findings as JSON."""
    errors = sum(f.severity == "error" for f in findings)
    rows = [{**asdict(f), "numbers": dict(f.numbers)} for f in findings]
    document = {"findings": rows, "errors": errors, "warnings": len(findings) - errors, "checks": checks}
    document["power"] = getattr(findings, "power", "")
    return json_text(document)


def as_text(findings: Sequence[Finding], checks: int) -> Group:
    """Return the findings for a person: what, why, fix."""
    if not findings:
        return Group(Text(f"Nothing found: {checks} checks passed."))
    parts: list[Any] = []
    for finding in findings:
        head = Text(f"{finding.severity}: {finding.kind}", style=_STYLES[finding.severity])
        lines = Text(f"{finding.what}\n{finding.why}\n").append(f"Fix: {finding.fix}", style="bold")
        parts += [head, Padding(lines, (0, 0, 1, 2))]
    rest = checks - len(findings)
    return Group(*parts, Text(f"{len(findings)} found; {rest} other checks passed or did not apply."))
