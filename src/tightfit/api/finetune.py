"""Trains a model for the file that ships, and measures what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.finetune_options import (
    FinetuneOptions,
    as_plain,
    check_options,
    chosen_options,
    is_equal,
    spec_of,
    teachers_of,
)
from tightfit.api.parameters.frozen import frozen_in
from tightfit.api.parameters.signature_data import single_signature
from tightfit.api.parameters.training_job import portable_training, training_material
from tightfit.api.parameters.training_sets import GivenTraining, open_sets, understood_labels
from tightfit.api.parameters.user_model import UserModel
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.api.results.finetune_result import FinetuneResult, layer_facts
from tightfit.api.results.ruin import known_notes, ruin_notes, sound_notes
from tightfit.api.results.trained_or_start import KEPT_TRAINED, JudgedFile, write_better
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.conversion.open_model import open_model
from tightfit.data.dataset import Dataset
from tightfit.data.sources import check_data
from tightfit.distributed.options import RayCluster
from tightfit.errors import OptionError
from tightfit.evaluation.accuracy import Asked
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.labels.label_kinds import TRAINED, Head
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.files import refuse_input_as_output
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.recurrent_form import without_loops
from tightfit.pipeline.source import open_source
from tightfit.pipeline.sparse_files import leave_zeros_out
from tightfit.spoken import verb
from tightfit.training.backend import ON_CLUSTERS, choose_backend
from tightfit.training.loop.finetune_spec import FinetuneSpec
from tightfit.training.losses.loss_words import LossLike, LossWords, Weights
from tightfit.weights.statistics import weight_facts

Listener = Callable[[str, int, int, dict[str, object]], None]


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
    teacher: ModelLike | Sequence[ModelLike] | None = None,
    teacher_outputs: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    train: int | None = None,
    layout: str = "cpu",
    storage: str = "dense",
    provenance: bool = True,
    seed: int = 0,
    image: Image = None,
    signature: str | None = None,
    cluster: RayCluster | str | None = None,
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
        batch: samples in a step; the default takes all where there are fewer.
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
        validation: data that chooses the epoch with the least loss, and between the trained file and the one
            before the training; None: a fifth of the training samples.
        test: data that measures; None: a quarter of ``data`` is held out.
        teacher: a float model of any source with the same outputs, or a list of several; None for the model
            itself. The better a teacher knows the labels, the more it counts.
        teacher_outputs: output of the model → output of the teachers, where names and places do not decide.
        train: most training samples.
        layout: ``cpu``, ``npu`` or ``micro``.
        storage: ``dense``, or ``sparse`` to leave zeros out of the file.
        provenance: store the options, the data's fingerprint and expected outputs in the file.
        seed: of the split and of the shuffling.
        image: how image files become arrays.
        signature: the entry point that is trained, where the model has several; the file has it alone.
        cluster: workers of Ray that share each batch: None for this process, ``"ray"``,
            ``"ray://HOST:10001"`` or a ``tightfit.RayCluster`` with ``workers``.
        listener: called with (stage, step, steps, metrics) after each training step and each measured sample.
        progress: see ``tightfit.Progress``.

    Returns:
        the file, its accuracy beside the float model's, sizes, training history and notes.

    Raises:
        OptionError: an option is wrong, or Keras is not installed. DataError: the data does not fit.
        ModelError: the model cannot be trained, or the output cannot be written.

    Example:
        ``tightfit.finetune("model.keras", "train.npz", "small.tflite", scheme="int8", epochs=5)``
    """
    keywords = dict(locals())
    chosen = chosen_options(options or FinetuneOptions(), keywords)
    place = temporary_place(label_of(model)) if output is None else Path(output)
    request = spec_of(chosen)
    check_options(chosen)
    check_paths(
        {
            "model": model,
            "data": data,
            **{f"teacher {i}": each for i, each in enumerate(teachers_of(chosen.teacher))},
            "validation": chosen.validation,
            "test": chosen.test,
        },
        {"The output": place, "The checkpoint": _checkpoint(place)},
    )
    with tracked(progress if listener is None else False) as tracker:
        report = listener or (lambda stage, step, steps, _: tracker.stages(stage, step, steps))
        given = GivenTraining(model, data, image_options(image), place)
        return _finetune(given, chosen, request, report, None if cluster is None else RayCluster.of(cluster))


def _checkpoint(output: Path) -> Path:
    return output.with_name(output.name + ".checkpoint")


def _finetune(
    given: GivenTraining,
    chosen: FinetuneOptions,
    request: FinetuneSpec,
    listener: Listener,
    cluster: RayCluster | None,
) -> FinetuneResult:
    """Open what was given, train, write, measure."""
    model, output = given.model, given.output
    backend = choose_backend() if cluster is None else ON_CLUSTERS
    check_data(given.data, chosen.validation, chosen.test)
    source = without_loops(open_source(single_signature(open_model(model), chosen.signature)))
    refuse_input_as_output(output, source.path)
    sets = open_sets(source, given, chosen)
    others = teachers_of(chosen.teacher)
    teachers = [open_source(each).model for each in others] or [source.model]
    reading = understood_labels(source, sets, request, chosen)
    source.facts = _facts(sets.dataset, len(sets.training), chosen) if chosen.provenance else None
    checkpoint = _checkpoint(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    going_on = UserModel.of(given.model, given.data, chosen)
    frozen, frozen_notes = frozen_in(given.model, source.model)
    if cluster is None:
        from tightfit.training.loop.finetuning import finetune as train  # noqa: PLC0415 - loads Keras

        user = None if going_on is None else going_on.training(sets, chosen)
        material = training_material(sets, teachers, chosen.layout, reading.heads, user=user, frozen=frozen)
        trained = train(source.model, material, request, checkpoint, listener)
    else:
        from tightfit.distributed.training import train_on  # noqa: PLC0415 - loads what only a cluster needs

        _refuse_compiled(going_on)
        batch = request.batch_of(len(sets.training))
        job = portable_training(
            given, chosen, batch, teachers if others else [], frozen, trust_code=cluster.trust_code
        )
        trained = train_on(cluster, job, source.path, checkpoint, listener).unpacked()
    notes: list[str] = []
    if request.labels != "no":
        notes = [*sets.dataset.notes, *reading.notes, *_taught_alone(reading.heads, request.words())]
    judged = JudgedFile(sets.validation, sets.validating, chosen.metric, request.words().kinds())
    original = open_model(others[0]) if others else source.path
    kept, more, chosen_by = write_better(source, trained, output, chosen.layout, original, judged)
    notes += [*frozen_notes, *trained.notes, *more]
    if chosen.storage == "sparse":
        notes += leave_zeros_out(output)

    def measured(done: int, total: int) -> None:
        listener("measuring", done, total, {})

    before, after = evaluate_models(
        [original, output], sets.measuring, sets.measured, metric=chosen.metric, progress=measured,
        slices=slices_of(source.model), kinds=request.words().kinds(),
    )  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    keras_model, more = None, list[str]()
    if going_on is not None:
        keras_model, more = going_on.trained(source.model, trained.of(kept), sets)
        notes += more
    zeros, values = weight_facts(output)
    lost = ruin_notes(after) if chosen.teacher is None else []
    notes += lost
    if chosen_by:
        notes += sound_notes(chosen_by[1]) if lost and kept == KEPT_TRAINED else []
        notes += known_notes(chosen_by[0], before)
    return FinetuneResult(
        output, before, after, footprint(output), footprint(original), zeros, values,
        trained.history, backend, notes, layer_facts(output), kept, chosen.teacher is None, keras_model,
    )  # fmt: skip


def _refuse_compiled(model: UserModel | None) -> None:
    """Check that the training is one of ours: a compiled model's own batches and loss live in this process.

    Raises:
        OptionError: it is not.
    """
    if model is not None:
        raise OptionError(
            "Received a compiled Keras model with its data for a cluster; expected a model file "
            "and data on shared storage, or no cluster."
        )


def _facts(dataset: Dataset, trained: int, options: FinetuneOptions) -> dict[str, Any]:
    """Return the record of a training: the data's fingerprint and the options that are not default."""
    plain = FinetuneOptions()
    given = {f.name: getattr(options, f.name) for f in fields(options)}
    chosen = {k: as_plain(v) for k, v in given.items() if not is_equal(v, getattr(plain, k))}
    known = dataset.describe()
    data = {"name": known["name"], "count": known["count"], "fingerprint": dataset.fingerprint()}
    return {"finetune": {"epochs": options.epochs, **chosen}, "data": {**data, "training_samples": trained}}


def _taught_alone(heads: Sequence[Head], words: LossWords) -> list[str]:
    """A note on labels that measure and do not train."""
    left = sorted({h.kind for h in heads if h.kind not in TRAINED and not callable(words.of(h.output))})
    return [
        f"Labels of the kind '{kind}' are measured and do not train: the float model's outputs teach."
        for kind in left
    ]
