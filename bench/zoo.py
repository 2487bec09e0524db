"""Runs real trained models through every scheme and prints what got worse since the goldens were recorded.

    python bench/zoo.py --cache FOLDER [--only NAME ...] [--largest MB] [--record] [--peer PYTHON]

Every model × every scheme writes a file that LiteRT runs, or refuses in a sentence. Per pair: bytes,
signal-to-noise in dB against the float model on the samples, ops left in float. A pair is a regression where
it fails now and did not, is over 1 % larger, over 0.5 dB noisier, or leaves more ops in float. ``--record``
writes ``zoo_data/goldens.json``. ``--peer`` names a Python with litert-quantizer, run on the same samples.
Exit code 1 where something got worse.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.api.quantize import quantize
from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.load_model import load
from tightfit.errors import TightfitError
from tightfit.graph.reader import read_model
from zoo_models import ZooModel, fetch, zoo_models
from zoo_peer import PEER_SCHEMES, peer_decibels
from zoo_samples import make_samples

GOLDENS = Path(__file__).parent / "zoo_data" / "goldens.json"
SCHEMES = ("float16", "weight8", "dynamic", "int8", "int8 io", "int16x8", "weight4", "int8x4")
CALIBRATION = 24
PLAIN: dict[str, Any] = {"provenance": False, "doctor": False}
LARGER, NOISIER_DB = 1.01, 0.5


def read_goldens() -> dict[str, dict[str, dict[str, Any]]]:
    """Return model → scheme → what was recorded."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    return json.loads(GOLDENS.read_text()) if GOLDENS.is_file() else found


def measure(model: ZooModel, path: Path, peer: str | None) -> dict[str, Any]:
    """Return scheme → facts of one model."""
    options = ConversionOptions(shapes=model.shapes(), held=model.held())
    try:
        source = path if path.suffix == ".tflite" else load(path, options=options).path
    except TightfitError as error:
        return {scheme: {"refused": f"convert: {error}"} for scheme in SCHEMES}
    shapes = model.shapes()
    inputs = [
        replace(spec, shape=shapes.get(spec.name, spec.shape))
        for spec in inputs_of(read_model(source), source)
    ]
    given = make_samples(model.samples, inputs, CALIBRATION)
    rows: dict[str, Any] = {"float": {"bytes": source.stat().st_size}}
    for scheme in SCHEMES:
        name, _, io = scheme.partition(" ")
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "out.tflite"
            try:
                made = quantize(source, name, output, data=given, io="int8" if io else None, **PLAIN)
            except TightfitError as error:
                rows[scheme] = {"refused": str(error)}
                continue
            left = Counter(op.kind for op in made.plan.refusals())
            rows[scheme] = {
                "bytes": output.stat().st_size,
                "snr_db": round(float(np.clip(made.snr_db, -99, 200)), 1),
                "left_in_float": dict(sorted(left.items())),
            }
            if peer and scheme in PEER_SCHEMES:
                rows[scheme]["peer"] = peer_decibels(peer, source, scheme, given)
    return rows


def worse(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    """Return in sentences what one pair of model and scheme lost since its golden.

    Example:
        >>> worse({"bytes": 102, "snr_db": 40.0}, {"bytes": 100, "snr_db": 40.2})
        ['102 bytes, were 100']
    """
    if "refused" in now:
        return [] if "refused" in before else [f"refused now: {now['refused']}"]
    if "refused" in before or "bytes" not in before:
        return []
    found = []
    if now["bytes"] > before["bytes"] * LARGER:
        found.append(f"{now['bytes']} bytes, were {before['bytes']}")
    if "snr_db" in before and now["snr_db"] < min(before["snr_db"], 90.0) - NOISIER_DB:
        found.append(f"{now['snr_db']} dB, were {before['snr_db']}")
    new, old = (sum(rows.get("left_in_float", {}).values()) for rows in (now, before))
    if new > old:
        found.append(f"{new} ops in float, were {old}")
    return found


def row_words(scheme: str, facts: dict[str, Any]) -> str:
    """Return one pair in one line."""
    if "refused" in facts:
        return f"  {scheme:<8} refused: {facts['refused']}"
    if "snr_db" not in facts:
        return f"  {scheme:<8} {facts['bytes']:>10,} B"
    left = ", ".join(f"{n} {kind}" for kind, n in facts["left_in_float"].items())
    words = f"  {scheme:<8} {facts['bytes']:>10,} B {facts['snr_db']:>6.1f} dB"
    words += f"  litert-quantizer {facts['peer']}" if "peer" in facts else ""
    return words + (f"  float: {left}" if left else "")


def chosen(options: argparse.Namespace) -> list[ZooModel]:
    """Return the models that were asked for."""
    limit = options.largest * 1e6
    return [m for m in zoo_models() if m.size <= limit and (not options.only or m.name in options.only)]


def main() -> int:
    """Run the zoo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="Folder for fetched files.")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--largest", type=float, default=1e6, help="Largest model, in MB.")
    parser.add_argument("--record", action="store_true", help="Record what was measured as the goldens.")
    parser.add_argument("--peer", help="Python of an environment with litert-quantizer.")
    options = parser.parse_args()
    goldens = read_goldens()
    lost, run = 0, 0
    for model in chosen(options):
        try:
            path = fetch(model, options.cache)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"{model.name}: left out, {error}")
            continue
        start = time.perf_counter()
        rows = measure(model, path, options.peer)
        run += 1
        print(f"{model.name} ({model.task}), {time.perf_counter() - start:.0f} s", flush=True)
        for scheme, facts in rows.items():
            print(row_words(scheme, facts), flush=True)
            for sentence in worse(facts, goldens.get(model.name, {}).get(scheme, facts)):
                lost += 1
                print(f"  WORSE    {scheme}: {sentence}", flush=True)
        if options.record:
            goldens[model.name] = {s: {k: v for k, v in f.items() if k != "peer"} for s, f in rows.items()}
            GOLDENS.write_text(json.dumps(goldens, indent=1, sort_keys=True) + "\n")
    print(f"{run} models, {lost} got worse")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
