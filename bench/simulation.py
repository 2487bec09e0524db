"""Prints how far the simulation is from LiteRT, for every model that it is given.

Ops are compared one by one, each fed the device's own inputs; decisions are compared end to end: equal means
the same first place of the largest output, "or tied" any largest output in common. Both in the layout that
keeps every tensor an integer. The demo decides on its 1,000 images, the model of ``--photos`` on the photos
and their mirror images, any other on random samples, which say little about decisions.

    bench/simulation.py --models models/ --photos efficientnet_lite0=photos/ \
        --image size=224,crop=0.875,mean=127,std=128
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from machine import describe_machine
from tightfit import demo
from tightfit.api.parameters.model_inputs import inputs_of
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import Sample
from tightfit.data.sources import open_data
from tightfit.errors import TightfitError
from tightfit.graph.signatures import input_names
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import make_plan
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session
from tightfit.training.backend import choose_backend

SCHEMES = ("int8", "int16x8")
CALIBRATION, RANDOM = 50, 16


class Data:
    """The samples of one model: some to calibrate with, others to decide on."""

    def __init__(self, calibration: list[Sample], decisions: Iterable[Sample], words: str) -> None:
        self.calibration, self.decisions, self.words = calibration, decisions, words


def of_demo(source: Source) -> Data:
    """The demo's images."""
    name = next(iter(input_names(source.model)))
    named = [[Sample({name: x}) for x, _ in images] for images in (demo.evaluation(), demo.calibration())]
    return Data(named[0][:: len(named[0]) // CALIBRATION], named[1], f"{len(named[1])} images")


def of_photos(source: Source, folder: str, image: str | None) -> Data:
    """Each photo and its mirror image."""
    options = ImageOptions.parse(image) if image else None
    dataset = open_data(folder, image=options, inputs=inputs_of(source.model, source.path))
    some = [int(i) for i in np.random.default_rng(0).permutation(len(dataset))[:CALIBRATION]]

    def mirrored() -> Iterator[Sample]:
        for sample in dataset.samples(None):
            yield sample
            yield Sample({n: np.flip(a, -2) for n, a in sample.inputs.items()})

    return Data(list(dataset.samples(sorted(some))), mirrored(), f"{2 * len(dataset)} photos")


def of_chance(source: Source) -> Data:
    """Random samples: they show the ops, and say little about decisions."""
    with Session(source.path) as session:
        drawn = [Sample(random_sample(session.inputs, seed)) for seed in range(RANDOM)]
    return Data(drawn, drawn, f"{RANDOM} random")


def row(source: Source, scheme: str, data: Data) -> str:
    """One model by one scheme."""
    from tightfit.training.simulation.simulate_ops import simulate  # noqa: PLC0415 - after the choice of the backend

    seen = calibrate(source.model, [s.inputs for s in data.calibration])
    plan = make_plan(source.model, scheme, Ranges([seen.statistics]))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "integer.tflite"
        file = write_plan(source, plan, output, layout="npu", probes=seen.probes).path
        ops = simulate(source.model, plan, file, itertools.islice(data.calibration, 8))
        start = time.perf_counter()
        ends = simulate(source.model, plan, file, data.decisions, compared=0)
        seconds = time.perf_counter() - start
    worst = max(ops.ops, key=lambda o: (o.steps, o.share))
    share = np.mean([o.share for o in ops.ops])
    return (
        f"{len(ops.ops):>5}/{_integer(plan):<5}{ops.largest_steps:>6.0f}{share:>10.4%}  "
        f"{worst.kind if worst.share else '':<20}{ends.equal_decisions:>9.2%}{ends.tied_decisions:>9.2%}"
        f" of {data.words:<14}{seconds:>6.0f} s"
    )


def _integer(plan: Plan) -> int:
    return plan.counts().get("integer", 0)


def main() -> None:
    """Prints a row a model and scheme."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, help="a folder of float .tflite files; else the demo alone")
    parser.add_argument("--photos", help="NAME=FOLDER: the model of that name decides on these photos")
    parser.add_argument("--image", help="how the photos become arrays")
    parser.add_argument("--only", action="append", help="only the model of this name; may be given again")
    parser.add_argument("--scheme", action="append", help="by default int8 and int16x8")
    options = parser.parse_args()
    print(f"{describe_machine()}, Keras on {choose_backend()}")
    print(
        f"{'model':<34}{'scheme':<9}{'ops':>5} {'':5}{'steps':>6}{'differ':>10}  {'largest at':<20}"
        f"{'equal':>9}{'or tied':>9}    {'decisions':<14}{'time':>8}"
    )
    named, _, folder = (options.photos or "").partition("=")
    paths = sorted(options.models.glob("*.tflite"), key=lambda p: p.stat().st_size) if options.models else []
    for path in [demo.MODEL, *paths]:
        if options.only and path.stem not in options.only:
            continue
        source = open_source(path)
        for scheme in options.scheme or SCHEMES:
            data = (
                of_demo(source) if path == demo.MODEL
                else of_photos(source, folder, options.image) if path.stem == named
                else of_chance(source)
            )  # fmt: skip
            try:
                text = row(source, scheme, data)
            except TightfitError as error:
                text = str(error)
            print(f"{path.stem[:33]:<34}{scheme:<9}{text}", flush=True)


if __name__ == "__main__":
    main()
