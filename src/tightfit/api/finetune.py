"""Trains a model for the file that ships, and measures what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit.api.arguments import Image, image_options
from tightfit.api.model_inputs import inputs_of, outputs_of
from tightfit.api.progress import ProgressLike, tracked
from tightfit.api.ruin import is_ruined, ruin_notes
from tightfit.conversion.load_model import label_of, open_model, temporary_place
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import hold_out
from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.evaluation.accuracy import Accuracy, understand, wanted_metrics
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.labels import TRAINED, Head, Reading
from tightfit.evaluation.slices.files import slices_of
from tightfit.files import refuse_input_as_output
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.builder import training_start
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.sparse_files import leave_zeros_out
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.checking import random_probes
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.scheme import find_scheme
from tightfit.result import Result, Row
from tightfit.spoken import verb
from tightfit.training.backend import choose_backend
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_spec
from tightfit.training.loop.training_options import TrainingOptions
from tightfit.types import Array
from tightfit.weights.statistics import weight_facts

if TYPE_CHECKING:
    from tightfit.training.loop.finetuning import Trained

Listener = Callable[[str, int, int, dict[str, object]], None]

_HELD_OUT: Final = 0.25
_MOST_HELD_OUT: Final = 1000
_STORAGES: Final = ("dense", "sparse")


@dataclass(frozen=True)
class FinetuneOptions(TrainingOptions):
    """What ``finetune`` takes besides model, data and output.

    Args:
        scheme: name of the file's scheme, None for float. interface: type of its inputs and outputs.
        train: samples to train with at most, None for all that are not held out.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file where that makes it smaller.
        metric: what the held-out samples measure, see ``evaluate``; training does not depend on it.
    """

    scheme: str | None = None
    interface: str = "float32"
    train: int | None = None
    layout: str = "cpu"
    storage: str = "dense"
    metric: str = "auto"


@dataclass(frozen=True, repr=False)
class FinetuneResult(Result):
    """A trained file.

    Args:
        path: the file. original, accuracy: of the float model and of the file on the held-out samples.
        footprint: sizes of the file; ``before`` has those of the float model.
        zeros: share of zeros in the stored weights. values: the most distinct values in one of them.
        history: one row an epoch. backend: that Keras ran. notes: what a reader should know.
    """

    path: Path
    original: Accuracy
    accuracy: Accuracy
    footprint: Footprint
    before: Footprint
    zeros: float
    values: int
    history: list[dict[str, object]]
    backend: str
    notes: list[str] = field(default_factory=list)

    def headline(self) -> str:
        """Return the metric before and after."""
        values = ", ".join("failed" if a.value is None else f"{a.value:.4g}" for a in self._both())
        return f"FinetuneResult('{self.path}', {self.accuracy.metric} {values})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the float model beside the file."""
        sizes = (self.before.size_bytes, self.footprint.size_bytes)
        rows = [("bytes", *sizes), (self.accuracy.metric, *(a.value for a in self._both()))]
        return ("", "float model", "file"), rows

    def _both(self) -> tuple[Accuracy, Accuracy]:
        return self.original, self.accuracy

    @property
    def ruined(self) -> bool:
        """Whether the file lost what nobody ships unasked; the notes say what."""
        return is_ruined(self.accuracy, self.accuracy.outputs)

    def facts(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()

    def to_dict(self) -> dict[str, object]:
        """Return plain data; sizes in bytes, accuracies and shares as fractions."""
        plain = asdict(self) | {"path": str(self.path), "ruined": self.ruined}
        return plain | {"original": self.original.to_dict(), "accuracy": self.accuracy.to_dict()}


@verb(interface="io", feature="features")
def finetune(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    data: DataLike,
    output: Pathlike | None = None,
    options: FinetuneOptions | None = None,
    *,
    scheme: str | None = None,
    io: str = "float32",
    sparsity: float | None = None,
    pattern: str = "unstructured",
    scope: str = "layer",
    schedule: str = "polynomial",
    clusters: int | None = None,
    per: str = "tensor",
    initial: str = "kmeans++",
    ranges: str = "learned",
    epochs: int = 5,
    batch: int = 32,
    learning_rate: float | None = None,
    labels: str = "auto",
    features: Sequence[str] = (),
    augment: Sequence[str] = (),
    teacher: Pathlike | None = None,
    train: int | None = None,
    layout: str = "cpu",
    storage: str = "dense",
    metric: str = "auto",
    seed: int = 0,
    image: Image = None,
    listener: Listener | None = None,
    progress: ProgressLike = None,
) -> FinetuneResult:
    """Train a float model for the integers, zeros and shared values that are asked for; return the file.

    A quarter of the samples (at most 1,000) is held out to measure with. The checkpoint
    ``<output>.checkpoint`` is written after each epoch; the same call goes on from it.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        data: samples, with labels or without.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        options: the options below as one object; a keyword that differs from its default overrides it.
        scheme: ``int8``, ``int16x8`` or ``int8x4``; None for a float file.
        io: type of the model's inputs and outputs.
        sparsity: fraction of zeros in the pruned weights.
        pattern: ``unstructured``, N:M such as 2:4, or blocks such as 1x4.
        scope: ``layer`` or ``global``.
        schedule: of the sparsity: ``polynomial``, ``constant`` or ``one-shot``.
        clusters: distinct values a weight tensor, 2 to 256.
        per: ``tensor`` or ``channel``.
        initial: centroid initialization: ``kmeans++``, ``linear`` or ``density``.
        ranges: range updates: ``learned``, ``average`` or ``fixed``.
        epochs: of all stages together.
        batch: samples in a step.
        learning_rate: relative to the size of each channel's weights; None: set automatically.
        labels: train on labels: ``auto``, ``yes``, or ``no`` (distillation from the float model).
        features: intermediate tensors of the teacher to match besides its outputs.
        augment: image augmentations: ``flip``, ``shift``, ``zoom``, ``mix``.
        teacher: a larger float model; None for the model itself.
        train: most training samples.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file.
        metric: what the held-out samples measure, see ``evaluate``; training does not depend on it.
        seed: of the split and of the shuffling.
        image: how image files become arrays.
        listener: called with (stage, step, steps, metrics) after each training step and each measured sample.
        progress: see ``tightfit.Progress``.

    Raises:
        OptionError: an option is wrong, or Keras is not installed. DataError: the data does not fit.
        ModelError: the model cannot be trained, or the output cannot be written.
    """
    keywords = dict(locals())
    chosen = _chosen(options or FinetuneOptions(), keywords)
    place = temporary_place(label_of(model)) if output is None else Path(output)
    request = _request(chosen)
    _check_options(chosen)
    check_paths(
        {"model": model, "data": data, "teacher": chosen.teacher},
        {"The output": place, "The checkpoint": _checkpoint(place)},
    )
    with tracked(progress if listener is None else False) as tracker:
        heard = listener or (lambda stage, step, steps, _: tracker.stages(stage, step, steps))
        given = _Given(model, data, image_options(image), place)
        return _finetune(given, chosen, request, heard)


@dataclass(frozen=True)
class _Given:
    """What a caller passed."""

    model: ModelLike
    data: DataLike
    image: ImageOptions | None
    output: Path


def _checkpoint(output: Path) -> Path:
    return output.with_name(output.name + ".checkpoint")


def _finetune(
    given: _Given, chosen: FinetuneOptions, request: FinetuneSpec, listener: Listener
) -> FinetuneResult:
    """Open what was given, train, write, measure."""
    model, output = given.model, given.output
    backend = choose_backend()
    from tightfit.training.loop.finetuning import TrainingData  # noqa: PLC0415 - loads Keras
    from tightfit.training.loop.finetuning import finetune as train  # noqa: PLC0415 - loads Keras

    source = open_source(model)
    refuse_input_as_output(output, source.path)
    dataset = open_data(
        given.data,
        image=given.image,
        inputs=inputs_of(source.model, source.path),
        outputs=outputs_of(source.model),
    )
    training, held_out = divide(dataset, chosen)
    reading = _meaning(source, dataset, training, chosen.metric)
    source.facts = _facts(dataset, len(training), chosen)
    checkpoint = _checkpoint(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    teacher = source.model if chosen.teacher is None else open_source(chosen.teacher).model
    material = TrainingData(dataset, training, teacher, training_start, reading.heads)
    trained = train(source.model, material, request, checkpoint, listener)
    notes = [*dataset.notes, *reading.notes, *_taught_alone(reading.heads)] if request.labels != "no" else []
    notes += [*trained.notes, *_write(source, trained, output, chosen.layout)]
    if chosen.storage == "sparse":
        notes += leave_zeros_out(output)

    def measured(done: int, total: int) -> None:
        listener("measuring", done, total, {})

    original = source.path if chosen.teacher is None else open_model(chosen.teacher)
    before, after = evaluate_models(
        [original, output],
        dataset,
        held_out,
        metric=chosen.metric,
        progress=measured,
        slices=slices_of(source.model),
    )
    checkpoint.unlink(missing_ok=True)
    zeros, values = weight_facts(output)
    notes += ruin_notes(after)
    return FinetuneResult(
        output, before, after, footprint(output), footprint(original), zeros, values,
        trained.history, backend, notes,
    )  # fmt: skip


def _chosen(options: FinetuneOptions, keywords: Mapping[str, Any]) -> FinetuneOptions:
    """Return options with the keywords that differ from their defaults."""
    plain, given = FinetuneOptions(), dict(keywords) | {"interface": keywords["io"]}
    changed = {f.name: given[f.name] for f in fields(FinetuneOptions)}
    changed |= {name: tuple(changed[name]) for name in ("features", "augment")}
    return replace(options, **{k: v for k, v in changed.items() if v != getattr(plain, k)})


def _meaning(source: Source, dataset: Dataset, training: Array, metric: str) -> Reading:
    """What the labels mean; those that ``auto`` does not understand, a named metric may.

    Raises:
        DataError: the labels or the metric do not fit the model's outputs.
    """
    named = understand(source.path, dataset, training, metric).reading
    if metric == "auto":
        return named
    try:
        return understand(source.path, dataset, training, "auto").reading
    except DataError:
        return named


def divide(dataset: Dataset, options: FinetuneOptions) -> tuple[Array, Array]:
    """Gives the samples to train with, shuffled, and those to measure with; both follow the seed.

    Raises:
        DataError: there are too few samples.
    """
    if len(dataset) < 2:
        raise DataError(f"The data has {len(dataset)} sample; training takes many. Give at least 100.")
    held = min(_MOST_HELD_OUT, max(1, int(_HELD_OUT * len(dataset))))
    held_out, training = hold_out(dataset.classes(), len(dataset), held, seed=options.seed)
    training = np.random.default_rng(options.seed).permutation(training)
    return training if options.train is None else training[: options.train], held_out


def _facts(dataset: Dataset, trained: int, options: FinetuneOptions) -> dict[str, Any]:
    """What the file says about its training: the data's fingerprint and the options that are not default."""
    plain = FinetuneOptions()
    chosen = {k: v for k, v in asdict(options).items() if v != getattr(plain, k)}
    known = dataset.describe()
    data = {"name": known["name"], "count": known["count"], "fingerprint": dataset.fingerprint()}
    return {"finetune": {"epochs": options.epochs, **chosen}, "data": {**data, "training_samples": trained}}


def _taught_alone(heads: Sequence[Head]) -> list[str]:
    """A note on labels that measure and do not train."""
    left = sorted({h.kind for h in heads if h.kind not in TRAINED})
    return [
        f"Labels of the kind '{kind}' are measured and do not train: the float model's outputs teach."
        for kind in left
    ]


def _check_options(options: FinetuneOptions) -> None:
    """Refuses what no training could use, before Keras is loaded."""
    wanted_metrics(options.metric)
    if options.layout not in LAYOUTS:
        raise OptionError(unknown_name("layout", options.layout, LAYOUTS))
    if options.storage not in _STORAGES:
        raise OptionError(unknown_name("storage", options.storage, _STORAGES))


def _request(options: FinetuneOptions) -> FinetuneSpec:
    scheme = None if options.scheme is None else find_scheme(options.scheme, options.interface)
    shared = {f.name: getattr(options, f.name) for f in fields(TrainingOptions)}
    spec = FinetuneSpec(**shared, scheme=scheme)
    check_spec(spec)
    return spec


def _write(source: Source, trained: Trained, output: Path, layout: str) -> list[str]:
    """Writes the file, checked on LiteRT; a float result is compared with its own graph."""
    if trained.plan is not None:
        probes = random_probes(source.path, source.model)
        written = write_plan(
            replace(source, model=trained.model), trained.plan, output, layout=layout, probes=probes
        )
        return written.notes
    write_float(trained.model, source, output, notes=trained.notes)
    return []
