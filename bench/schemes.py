"""Every scheme on every model of a folder: does it run on LiteRT, how large, how near to float.

    python bench/schemes.py ../shared/models [--images FOLDER] [--samples 16]

Models with an RGB image input see the photos (scaled to −1 … 1), others see seeded noise, so the
signal-to-noise says how faithful the arithmetic is, not how accurate the model is on its task.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tightfit.errors import TightfitError
from tightfit.pipeline.quantize_file import Source, open_source, write_plan
from tightfit.quantization.calibration.calibrate import Calibration, calibrate, input_names
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES

Sample = dict[str, np.ndarray]


def noise(source: Source, count: int, seed: int) -> Iterator[Sample]:
    """Yields samples of a normal distribution whose width varies from sample to sample."""
    shapes = {n: t.shape for n, t in input_names(source.model).items()}
    for i in range(count):
        random = np.random.default_rng([seed, i])
        width = 0.2 + 0.6 * random.random()
        yield {n: (width * random.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}


def photos(source: Source, count: int, folder: Path, seed: int) -> Iterator[Sample]:
    """Yields photos of a folder at the model's size, in −1 … 1."""
    ((name, tensor),) = input_names(source.model).items()
    files = sorted(folder.rglob("*.jpg"))
    for i in np.random.default_rng(seed).choice(len(files), count, replace=False):
        image = Image.open(files[i]).convert("RGB").resize(tensor.shape[2:0:-1], Image.Resampling.BICUBIC)
        yield {name: (np.asarray(image, np.float32)[None] - 127) / 128}


def samples(source: Source, count: int, images: Path | None, seed: int) -> Iterator[Sample]:
    """Yields photos where the model takes one RGB image and there are photos, noise elsewhere."""
    shapes = [t.shape for t in input_names(source.model).values()]
    rgb = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][-1] == 3
    return photos(source, count, images, seed) if rgb and images else noise(source, count, seed)


def row(source: Source, seen: Calibration, held_out: Calibration, scheme: str, folder: Path) -> str:
    """Gives one line of the table; a refusal is a line too."""
    start = time.perf_counter()
    try:
        plan = make_plan(source.model, scheme, Ranges([seen.statistics]))
        written = write_plan(source, plan, folder / "q.tflite", probes=held_out.probes)
    except TightfitError as error:
        return f"{scheme:<9} FAILED: {error}"
    ratio = written.path.stat().st_size / source.path.stat().st_size
    left = [f"{p.kind}: {p.reason}" for p in plan.refusals()]
    seconds = time.perf_counter() - start
    line = f"{scheme:<9} {ratio:5.3f}× {min(written.snr_db, 200.0):6.1f} dB  {seconds:5.1f} s"
    line += f"  layout {'+'.join(written.layout) or 'plain'}"
    if left:
        line += f"  {len(left)} ops in float: " + "; ".join(sorted(set(left)))
    return line


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    for path in sorted(options.models.glob("*.tflite")):
        source = open_source(path)
        seen = calibrate(source.model, samples(source, options.samples, options.images, 0))
        held_out = calibrate(source.model, samples(source, 2, options.images, 1))
        size = path.stat().st_size / 1e6
        print(f"{path.name}: {len(source.model.main.ops)} ops, {size:.1f} MB", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for scheme in SCHEMES:
                print("  " + row(source, seen, held_out, scheme, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
