"""Trains a model for the file that ships, and measures what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import inputs_of, outputs_of
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.ruin import is_ruined, ruin_notes
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.conversion.load_model import open_model
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import hold_out
from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.evaluation.accuracy import Accuracy, Asked, understand, wanted_metrics
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.labels.label_kinds import TRAINED, Head, Reading
from tightfit.evaluation.metrics import MOST_DB
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
from tightfit.training.loop.loss_words import LossLike, LossWords, Weights, spelled
from tightfit.training.loop.training_options import TrainingOptions
from tightfit.types import Array
from tightfit.weights.statistics import weight_facts, weight_values
from tightfit.weights.zeros import COUNTED

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
        scheme: name of the file's scheme, None for float.
        interface: type of its inputs and outputs.
        train: samples to train with at most, None for all that are not held out.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file where that makes it smaller.
        metric: what the file is measured by, as for ``evaluate``.
        validation: data that chooses the best epoch; None keeps the last epoch.
        test: data that measures; None holds a quarter of the training data out.
    """

    scheme: str | None = None
    interface: str = "float32"
    train: int | None = None
    layout: str = "cpu"
    storage: str = "dense"
    metric: Asked = "auto"
    validation: DataLike | None = None
    test: DataLike | None = None


@dataclass(frozen=True, repr=False)
class FinetuneResult(Result):
    """A trained file.

    Args:
        path: the file. original, accuracy: of the float model and of the file on the held-out samples.
        footprint: sizes of the file; ``before`` has those of the float model.
        zeros: share of zeros in the stored weights.
        values: the most distinct values in one of them.
        history: one row an epoch.
        backend: that Keras ran.
        notes: what a reader should know.
        layers: name, op, number of weights and of zeros of each weight tensor of 256 elements or more.
        reference_is_source: False where another teacher taught: the file is then compared with a model that
            it was not made from.
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
    layers: list[dict[str, object]] = field(default_factory=list)
    reference_is_source: bool = True

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
        """Whether the file lost what nobody ships unasked; the notes say what.

        Training may change what an output is, and another teacher what it should be. So slices do not decide
        here, but NaN does, and the metrics where the reference is the model that was trained.
        """
        accuracy = self.accuracy
        broken = any(s.snr_db <= -MOST_DB for output in accuracy.outputs for s in output.lost)
        return broken or accuracy.failure is not None or (self.reference_is_source and is_ruined(accuracy))

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
    scope: str = "file",
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
    augment: Sequence[str | Callable[..., object]] = (),
    loss: LossLike = "auto",
    loss_weights: Weights = (),
    class_weights: Weights = (),
    metric: Asked = "auto",
    validation: DataLike | None = None,
    test: DataLike | None = None,
    teacher: Pathlike | None = None,
    train: int | None = None,
    layout: str = "cpu",
    storage: str = "dense",
    seed: int = 0,
    image: Image = None,
    listener: Listener | None = None,
    progress: ProgressLike = None,
) -> FinetuneResult:
    """Train a float model for the integers, zeros and shared values that are asked for; return the file.

    A quarter of the samples (at most 1,000) is held out to measure with, or ``test`` measures. What labels
    mean is decided before the training, from the labels, the outputs, ``loss`` and ``metric``. The
    checkpoint ``<output>.checkpoint`` is written after each epoch; the same call goes on from it.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        data: samples, with labels or without.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        options: the options below as one object; a keyword that differs from its default overrides it.
        scheme: ``int8``, ``int16x8`` or ``int8x4``; None for a float file.
        io: type of the model's inputs and outputs.
        sparsity: fraction of zeros in the pruned weights.
        pattern: ``unstructured``, N:M such as 2:4, or blocks such as 1x4.
        scope: what has the sparsity: ``file`` (all weights in tensors of 256 elements or more), ``layer``
            (each pruned layer) or ``global`` (the pruned layers together).
        schedule: of the sparsity: ``polynomial``, ``constant`` or ``one-shot``.
        clusters: distinct values a weight tensor, 2 to 256.
        per: ``tensor`` or ``channel``.
        initial: centroid initialization: ``kmeans++``, ``linear`` or ``density``.
        ranges: range updates: ``learned``, ``average`` or ``fixed``.
        epochs: of all stages together.
        batch: samples in a step.
        learning_rate: relative to the size of each channel's weights; None: set automatically.
        labels: train on labels: ``auto``, ``yes``, ``no`` (distillation from the float model), or ``input``
            (the model gives back its input).
        features: intermediate tensors of the teacher to match besides its outputs.
        augment: image augmentations: ``flip``, ``shift``, ``zoom``, ``mix``, or functions of (images, random
            generator).
        loss: of the labels: ``crossentropy``, ``focal``, ``binary_crossentropy``, ``mse``, ``mae``,
            ``huber``, ``log_cosh``, ``ordinal``, ``input``, ``none``; a function of (labels, outputs), a
            Keras loss, or a mapping from outputs to such; ``auto`` follows the labels.
        loss_weights: output → weight of its loss, 1 for others.
        class_weights: class → weight, or ``balanced``.
        metric: what the file is measured by, as for ``evaluate``.
        validation: data that chooses the epoch with the least loss; None: the last epoch.
        test: data that measures; None: a quarter of ``data`` is held out.
        teacher: a larger float model; None for the model itself.
        train: most training samples.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file.
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
        {
            "model": model,
            "data": data,
            "teacher": chosen.teacher,
            "validation": chosen.validation,
            "test": chosen.test,
        },
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


def _layers(output: Path) -> list[dict[str, object]]:
    """The weights and zeros of each large weight tensor of a file."""
    large = [t for t in weight_values(output).tensors if t.size >= COUNTED]
    return [{"name": t.name, "op": t.op, "weights": t.size, "zeros": round(t.zeros * t.size)} for t in large]


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
    sets = _open_sets(source, given, chosen)
    reading = _understood(source, sets, request, chosen)
    source.facts = _facts(sets.dataset, len(sets.training), chosen)
    checkpoint = _checkpoint(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    teacher = source.model if chosen.teacher is None else open_source(chosen.teacher).model
    material = TrainingData(
        sets.dataset, sets.training, teacher, training_start, reading.heads, sets.validation
    )
    trained = train(source.model, material, request, checkpoint, listener)
    notes: list[str] = []
    if request.labels != "no":
        notes = [*sets.dataset.notes, *reading.notes, *_taught_alone(reading.heads, request.words())]
    notes += [*trained.notes, *_write(source, trained, output, chosen.layout)]
    if chosen.storage == "sparse":
        notes += leave_zeros_out(output)

    def measured(done: int, total: int) -> None:
        listener("measuring", done, total, {})

    original = source.path if chosen.teacher is None else open_model(chosen.teacher)
    before, after = evaluate_models(
        [original, output], sets.measuring, sets.measured, metric=chosen.metric, progress=measured,
        slices=slices_of(source.model), kinds=request.words().kinds(),
    )  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    zeros, values = weight_facts(output)
    notes += ruin_notes(after) if chosen.teacher is None else []
    return FinetuneResult(
        output, before, after, footprint(output), footprint(original), zeros, values,
        trained.history, backend, notes, _layers(output), chosen.teacher is None,
    )  # fmt: skip


def _chosen(options: FinetuneOptions, keywords: Mapping[str, Any]) -> FinetuneOptions:
    """Return options with the keywords that differ from their defaults."""
    plain, given = FinetuneOptions(), dict(keywords) | {"interface": keywords["io"]}
    changed = {f.name: given[f.name] for f in fields(FinetuneOptions)}
    changed |= {name: tuple(changed[name]) for name in ("features", "augment")}
    return replace(options, **{k: v for k, v in changed.items() if not _equal(v, getattr(plain, k))})


@dataclass(frozen=True)
class _Sets:
    """The data of a training.

    Args:
        dataset: that trains.
        training: the samples of it that do.
        measuring: the data that measures.
        measured: the samples of it that do; None for all.
        validation: that chooses the epoch.
    """

    dataset: Dataset
    training: Array
    measuring: Dataset
    measured: Array | None
    validation: Dataset | None

    def others(self) -> list[Dataset]:
        """The sets besides the one that trains."""
        tests = [] if self.measuring is self.dataset else [self.measuring]
        return tests if self.validation is None else [*tests, self.validation]


def _open_sets(source: Source, given: _Given, options: FinetuneOptions) -> _Sets:
    """Open training, validation and test data; without test data samples are held out."""

    def opened(spec: DataLike) -> Dataset:
        specs, names = inputs_of(source.model, source.path), outputs_of(source.model)
        return open_data(spec, image=given.image, inputs=specs, outputs=names)

    dataset = opened(given.data)
    validation = None if options.validation is None else opened(options.validation)
    if options.test is None:
        training, held_out = divide(dataset, options)
        return _Sets(dataset, training, dataset, held_out, validation)
    training = np.random.default_rng(options.seed).permutation(len(dataset))[: options.train]
    return _Sets(dataset, training, opened(options.test), None, validation)


def _understood(source: Source, sets: _Sets, request: FinetuneSpec, options: FinetuneOptions) -> Reading:
    """What the labels mean, of all samples that train or measure.

    Raises:
        DataError: the labels of one of the sets do not fit the model.
    """
    words = request.words()
    words.check_outputs(outputs_of(source.model))
    metric = wanted_metrics(options.metric)
    reading = understand(source.path, sets.dataset, None, metric, kinds=words.kinds()).reading
    for other in sets.others():
        if reading.heads and not other.has_labels and sets.dataset.has_labels:
            raise DataError(
                f"'{other.source.name}' has no labels, and the training data has. Label both, or neither."
            )
        understand(source.path, other, None, metric, kinds=words.kinds())
    return reading


def divide(dataset: Dataset, options: FinetuneOptions) -> tuple[Array, Array]:
    """Return the samples to train with, shuffled, and those to measure with; both follow the seed.

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
    given = {f.name: getattr(options, f.name) for f in fields(options)}
    chosen = {k: _named(v) for k, v in given.items() if not _equal(v, getattr(plain, k))}
    known = dataset.describe()
    data = {"name": known["name"], "count": known["count"], "fingerprint": dataset.fingerprint()}
    return {"finetune": {"epochs": options.epochs, **chosen}, "data": {**data, "training_samples": trained}}


def _equal(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float | tuple) and bool(value == default))


def _named(value: Any) -> Any:
    """An option as JSON: data of the caller by its type."""
    plain = spelled(value)
    if isinstance(plain, str | int | float | bool | None) or isinstance(value, list | tuple | dict):
        try:
            return json.loads(json.dumps(plain))
        except TypeError:
            pass
    return str(plain) if isinstance(value, Path) else type(value).__name__


def _taught_alone(heads: Sequence[Head], words: LossWords) -> list[str]:
    """A note on labels that measure and do not train."""
    left = sorted({h.kind for h in heads if h.kind not in TRAINED and not callable(words.of(h.output))})
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
