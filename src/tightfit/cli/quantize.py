"""``tightfit quantize``: one file by one scheme. It imports nothing of the search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tightfit import targets
from tightfit.api.parameters.arguments import parse_size
from tightfit.api.progress.terminal_bars import Bars, Stages
from tightfit.api.quantize import quantize as run_quantize
from tightfit.cli.options import completions
from tightfit.cli.options.choices import LAYOUTS, OBSERVERS, SCHEMES, TYPES, Names
from tightfit.cli.options.shared_options import (
    data_options,
    json_option,
    parse_overrides,
    parse_slices,
    provenance_option,
    seed_option,
    slices_option,
    target_options,
)
from tightfit.cli.terminal.quality_view import signal_words
from tightfit.conversion.formats import is_model_name, swapped_scheme
from tightfit.conversion.open_model import open_model
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.files import atomic_file
from tightfit.graph.reader import read_model
from tightfit.paths import check_paths
from tightfit.pipeline.quantization_result import UNFIT
from tightfit.plain_values import json_text
from tightfit.quantization.exchange.write_recipe import recipe_entries
from tightfit.report.printable import printable
from tightfit.units import format_bytes, format_ratio


class SchemeOrRecipe(Names):
    """A scheme's name, or a recipe file."""

    def __init__(self) -> None:
        super().__init__("scheme", SCHEMES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name or the path."""
        if is_model_name(str(value)):
            raise OptionError(swapped_scheme(str(value)))
        return value if str(value).endswith(".json") else super().convert(value, param, ctx)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("scheme", type=SchemeOrRecipe(), metavar="SCHEME")
@data_options(required=False, by_signature=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option(
    "--io",
    "interface",
    type=Names("input/output type", TYPES),
    help="Type of model inputs and outputs: float32, int8, uint8 …; by default the target's, else float32.",
)
@target_options
@click.option(
    "--calibration", default=100, show_default=True, type=click.IntRange(1), help="Calibration samples."
)
@click.option(
    "--observer",
    type=Names("observer", OBSERVERS, more=True),
    help="Calibration observer: minmax, moving-average, percentile[:99.99], mse or entropy; "
    "by default one for each integer type.",
)
@click.option(
    "--override",
    multiple=True,
    metavar="OP=SCHEME",
    help="Another scheme, or float, for the ops whose name matches; may be repeated.",
)
@click.option(
    "--layout",
    type=Names("layout", LAYOUTS),
    help="File layout: cpu, npu or micro; by default the target's, else cpu.",
)
@click.option(
    "--recover",
    "--recovery",
    metavar="STEPS",
    shell_complete=completions.recoveries,
    default="",
    help="Recoveries, comma-separated: gptq, bias-correction, cross-layer-equalization, smoothing, "
    "mixed-precision, … (docs/recoveries.md lists all).",
)
@click.option(
    "--effort",
    type=click.IntRange(0, 2),
    default=1,
    show_default=True,
    help="1 tries what gains accuracy in seconds (int8, int16x8), 2 also keeps more ops in float for a "
    "quarter of the noise; 0 writes the scheme as it is.",
)
@click.option(
    "--max-noise",
    type=click.FloatRange(0, 1, min_open=True),
    help="Maximum output noise of mixed-activations, as noise power / signal power; by default 0.01.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    help="Size limit of mixed-precision, such as 3.3MB; by default 0.179 of the float file.",
)
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), help="Write the plan to this JSON file."
)
@click.option(
    "--recipe",
    "recipe_file",
    type=click.Path(path_type=Path),
    help="Write the plan as a recipe of litert-quantizer to this JSON file.",
)
@slices_option
@click.option(
    "--mend/--no-mend",
    default=True,
    help="Try remedies where a slice of an output is poor; by default on.",
)
@provenance_option
@seed_option
@json_option
def quantize(model: Path, scheme: str, as_json: bool, **options: Any) -> int:
    """Quantize MODEL by SCHEME: float16, weight8, weight4, dynamic, int8, int16x8 or int8x4.

    SCHEME may also be a recipe of litert-quantizer, a .json file.
    """
    image = ImageOptions.parse(options["image"]) if options["image"] else None
    check_paths(
        {"model": model, "data": options["data"]},
        {
            "The output": options["output"],
            "The plan": options["plan_file"],
            "The recipe": options["recipe_file"],
        },
    )
    with Bars(quiet=as_json) as bars:
        written = run_quantize(
            model, scheme, options["output"],
            data=options["data"], image=image, progress=Stages(bars), **_chosen(options),
        )  # fmt: skip
    if options["recipe_file"]:
        with atomic_file(options["recipe_file"]) as file:
            file.write((json.dumps(recipe_entries(written.plan), indent=1) + "\n").encode())
    if options["plan_file"]:
        with atomic_file(options["plan_file"]) as file:
            file.write(written.plan.to_json().encode())
    facts, verdict = _facts(model, written), _verdict(written, options)
    if verdict is not None:
        facts["target"] = verdict.as_json()
    said = [_words(facts, written)] + ([] if verdict is None else [f"target: {verdict.summary()}"])
    click.echo(json_text(facts) if as_json else "\n".join(said))
    fits = verdict is None or (verdict.runs and verdict.fits)
    return 0 if fits and not facts["unfit"] else 1


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``QuantizeOptions``."""
    observer = options["observer"]
    same = (
        "effort",
        "interface",
        "calibration",
        "seed",
        "layout",
        "target",
        "provenance",
        "max_noise",
        "mend",
    )
    return {name: options[name] for name in same} | {
        "overrides": parse_overrides(options["override"]),
        "observers": dict.fromkeys(("int8", "int16"), observer) if observer else None,
        "recovery": tuple(filter(None, options["recover"].split(","))),
        "max_size": parse_size(options["max_size"]),
        "slices": parse_slices(options["slices"]),
    }


def _verdict(written: Any, options: dict[str, Any]) -> Any:
    """What the target makes of the written file, None where there is no target."""
    if options["target"] is None:
        return None
    memory = parse_size(options["memory"])
    return targets.check(read_model(written.path), options["target"], memory_bytes=memory)


def _facts(model: Path, written: Any) -> dict[str, Any]:

    size, original = written.path.stat().st_size, open_model(model).stat().st_size
    return {
        "path": str(written.path),
        "scheme": written.plan.scheme.name,
        "size_bytes": size,
        "size_ratio": size / original,
        "snr_db": min(written.snr_db, 200.0),
        "samples": written.samples,
        "outputs": [output.to_dict() for output in written.outputs],
        "unfit": written.unfit,
        "ops": written.plan.counts(),
        "left_in_float": [
            {"op": p.name, "kind": p.kind, "reason": p.reason} for p in written.plan.refusals()
        ],
        "layout": written.layout,
        "notes": written.notes,
    }


def _words(facts: dict[str, Any], written: Any) -> str:

    ops = ", ".join(f"{count} {mode}" for mode, count in facts["ops"].items())
    lines = [
        f"{facts['path']}: {facts['scheme']}, {format_bytes(facts['size_bytes'])} "
        f"({format_ratio(facts['size_ratio'])} of the original), {signal_words(written)}",
        *[f"{UNFIT}{sentence}" for sentence in facts["unfit"]],
        f"ops: {ops}",
    ]
    lines += [f"layout: {name} ({count} ops)" for name, count in facts["layout"].items()]
    lines += _left_in_float(written.plan.refusals())
    lines += [f"note: {note}" for note in facts["notes"] if not note.startswith(UNFIT)]
    return "\n".join(lines)


def _left_in_float(refusals: list[Any]) -> list[str]:
    """One line for each kind and reason, with the first op's name."""
    groups: dict[tuple[str, str], list[str]] = {}
    for op in refusals:
        groups.setdefault((op.kind, op.reason), []).append(op.name)
    return [
        f"float: {len(names)} {kind}: {reason} (the first is '{printable(names[0], 60)}')"
        for (kind, reason), names in groups.items()
    ]
