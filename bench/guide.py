"""Measures the tables of TensorFlow's model-optimization guide on real networks, beside its peers.

    bench/guide.py --shared ../shared                    every row, up to three hours on two cores
    bench/guide.py --shared ../shared --row NAME …       some rows of guide_networks.toml
    bench/guide.py --shared ../shared --quick            fewer schemes and samples, ten minutes
    bench/guide.py --table                               print what is stored, nothing else

Each row calibrates all tools with the same samples and measures all files on the same others: the task's
metric with its paired change, size over the float file, latency over float (interleaved, one thread). The
result of a row is stored in ``bench/stored/guide/NAME.json``, from which ``docs/guide.md`` is generated.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import guide_samples
import guide_tables
import peers
from guide_files import POST_TRAINING, TRAINED, Made, make_files
from guide_sources import AbsentError, model_of
from interleaved import latency_ratios
from machine import describe_machine
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import InputSpec, open_data
from tightfit.evaluation.accuracy import evaluate
from tightfit.runtime.session import Session

NETWORKS: Final = peers.BENCH / "guide_networks.toml"
STORED: Final = peers.BENCH / "stored" / "guide"
CALIBRATION: Final = 100
QUICK: Final = ("int8",)
QUICK_SAMPLES: Final = 60


def networks() -> dict[str, dict[str, Any]]:
    """Return name → row of ``guide_networks.toml``."""
    return tomllib.loads(NETWORKS.read_text())


def measure(name: str, row: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return what a row measured, or why it could not be."""
    found: dict[str, Any] = {
        "name": name,
        "machine": describe_machine(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": _commit(),
        "rows": [],
    }
    try:
        model = model_of(row, options.shared)
        with tempfile.TemporaryDirectory() as folder:
            samples = guide_samples.samples_of(row, model, options.shared, Path(folder), CALIBRATION)
            schemes = QUICK if options.quick else (*POST_TRAINING, *(() if options.untrained else (TRAINED,)))
            made = make_files(model, row, samples, Path(folder), schemes)
            return found | _measured(model, row, samples, made, options)
    except (AbsentError, peers.PeerError) as error:
        return found | {"absent": str(error)}


def _measured(
    model: Path,
    row: Mapping[str, Any],
    samples: guide_samples.Samples,
    made: Sequence[Made],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Score and time the files of a row."""
    files = [m for m in made if m.refusal is None]
    paths = [model, *(m.path for m in files)]
    image = None if samples.image is None else ImageOptions.parse(samples.image)
    with Session(model) as session:
        inputs = [InputSpec.of(spec) for spec in session.inputs]
    data = open_data(str(samples.evaluation), image=image, inputs=inputs)
    indices = list(range(len(data))) if samples.indices is None else list(samples.indices)
    if row["metric"] != "found":  # a part of the paragraphs would be an easier task
        indices = indices[: QUICK_SAMPLES if options.quick else options.samples]
    metric: Any = guide_samples.found if row["metric"] == "found" else row["metric"]
    scored = evaluate(paths, data, indices, metric=metric)
    times = latency_ratios(paths, rounds=options.latency_rounds)
    size = model.stat().st_size
    rows = [
        {
            "tool": m.tool,
            "scheme": m.scheme,
            "seconds": round(m.seconds, 1),
            "size_ratio": m.path.stat().st_size / size,
            "latency_ratio": ratio,
            **_numbers(accuracy.to_dict()),
        }
        for m, accuracy, ratio in zip(files, scored[1:], times[1:], strict=True)
    ]
    refused = [{"tool": m.tool, "scheme": m.scheme, "refusal": m.refusal} for m in made if m.refusal]
    return {"float": _numbers(scored[0].to_dict()) | {"size_bytes": size}, "rows": rows, "refused": refused}


def _numbers(plain: Mapping[str, Any]) -> dict[str, Any]:
    names = ("metric", "value", "low", "high", "change", "agreement", "snr_db", "cosine", "n", "failure")
    return {name: plain.get(name) for name in names}


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - git as it is installed
        cwd=peers.BENCH,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def parse_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of models and data")
    parser.add_argument("--row", action="append", help="name in guide_networks.toml; may be repeated")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--untrained", action="store_true", help="leave quantization-aware training out")
    parser.add_argument("--table", action="store_true", help="print the stored results")
    parser.add_argument("--samples", type=int, default=400, help="samples that measure at most")
    parser.add_argument("--latency-rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="store the results for docs/guide.md")
    return parser.parse_args()


def main() -> None:
    """Measures the rows that are asked for and prints the tables."""
    options, known = parse_options(), networks()
    options.shared = options.shared.resolve()
    if unknown := set(options.row or ()) - set(known):
        raise SystemExit(f"Unknown row '{min(unknown)}'. Known: {', '.join(known)}.")
    results = []
    for name in () if options.table else options.row or known:
        result = measure(name, known[name], options)
        results.append(result)
        if options.keep:
            STORED.mkdir(parents=True, exist_ok=True)
            (STORED / f"{name}.json").write_text(json.dumps(result, indent=1, default=float) + "\n")
    if options.table:
        results = guide_tables.stored()
    print(guide_tables.page(known, results))


if __name__ == "__main__":
    main()
