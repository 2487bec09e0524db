"""Trains a model for the file that ships, and measures what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit.api.arguments import Image, image_options
from tightfit.api.model_inputs import inputs_of, outputs_of
from tightfit.api.ruin import ruin_notes
from tightfit.conversion.load_model import open_model
from tightfit.data.dataset import Dataset
from tightfit.data.sources import open_data
from tightfit.data.split import hold_out
from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.evaluation.accuracy import Accuracy, understand
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.labels import TRAINED, Head
from tightfit.evaluation.slices.files import slices_of
from tightfit.files import refuse_input_as_output
from tightfit.paths import check_paths
from tightfit.pipeline.builder import training_start
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.sparse_files import leave_zeros_out
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.checking import random_probes
from tightfit.quantization.layouts import LAYOUTS
from tightfit.quantization.scheme import find_scheme
from tightfit.training.backend import choose_backend
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_spec
from tightfit.training.loop.training_options import TrainingOptions
from tightfit.types import Array
from tightfit.weights.statistics import weight_facts

if TYPE_CHECKING:
    from tightfit.training.loop.finetuning import Trained

Listener = Callable[[str, int, int, dict[str, Any]], None]

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
    """

    scheme: str | None = None
    interface: str = "float32"
    train: int | None = None
    layout: str = "cpu"
    storage: str = "dense"


@dataclass
class FinetuneResult:
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
    history: list[dict[str, Any]]
    backend: str
    notes: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Gives everything as plain data; sizes in bytes, accuracies and shares as fractions."""
        plain = asdict(self) | {"path": str(self.path)}
        return plain | {"original": self.original.to_dict(), "accuracy": self.accuracy.to_dict()}


def finetune(
    model: Any,
    data: Any,
    output: str | Path,
    options: FinetuneOptions | None = None,
    *,
    image: Image = None,
    listener: Listener | None = None,
    **keywords: Any,
) -> FinetuneResult:
    """Trains a float model for the integers, zeros and shared values that are asked for.

    A quarter of the samples (at most 1,000) is held out to measure with. The checkpoint
    ``<output>.checkpoint`` is written after each epoch; the same call goes on from it.

    Args:
        model: anything that ``load`` takes. output: the ``.tflite`` to write.
        listener: called with (stage, step, steps, metrics) after each training step and each measured sample.
        keywords: fields of ``FinetuneOptions``: ``scheme``, ``sparsity``, ``clusters``, ``epochs`` ….

    Raises:
        OptionError: an option is wrong, or Keras is not installed. DataError: the data does not fit.
        ModelError: the model cannot be trained, or the output cannot be written.
    """
    chosen, output = _with_keywords(options or FinetuneOptions(), keywords), Path(output)
    image = image_options(image)
    request = _request(chosen)
    _check_options(chosen)
    check_paths(
        {"model": model, "data": data, "teacher": chosen.teacher},
        {"The output": output, "The checkpoint": output.with_name(output.name + ".checkpoint")},
    )
    backend = choose_backend()
    from tightfit.training.loop.finetuning import TrainingData  # noqa: PLC0415 - loads Keras
    from tightfit.training.loop.finetuning import finetune as train  # noqa: PLC0415 - loads Keras

    source = open_source(model)
    refuse_input_as_output(output, source.path)
    dataset = open_data(
        data, image=image, inputs=inputs_of(source.model, model), outputs=outputs_of(source.model)
    )
    training, held_out = divide(dataset, chosen)
    reading = understand(source.path, dataset, training, "auto").reading
    source.facts = _facts(dataset, len(training), chosen)
    checkpoint = output.with_name(output.name + ".checkpoint")
    output.parent.mkdir(parents=True, exist_ok=True)
    teacher = source.model if chosen.teacher is None else open_source(chosen.teacher).model
    material = TrainingData(dataset, training, teacher, training_start, reading.heads)
    trained = train(source.model, material, request, checkpoint, listener)
    notes = [*dataset.notes, *reading.notes, *_taught_alone(reading.heads)] if request.labels != "no" else []
    notes += [*trained.notes, *_write(source, trained, output, chosen.layout)]
    if chosen.storage == "sparse":
        notes += leave_zeros_out(output)

    def measured(done: int, total: int) -> None:
        if listener is not None:
            listener("measuring", done, total, {})

    original = source.path if chosen.teacher is None else open_model(chosen.teacher)
    before, after = evaluate_models(
        [original, output], dataset, held_out, progress=measured, slices=slices_of(source.model)
    )
    checkpoint.unlink(missing_ok=True)
    zeros, values = weight_facts(output)
    notes += ruin_notes(after)
    return FinetuneResult(
        output, before, after, footprint(output), footprint(original), zeros, values,
        trained.history, backend, notes,
    )  # fmt: skip


def _with_keywords(options: FinetuneOptions, keywords: dict[str, Any]) -> FinetuneOptions:
    """Return options with some fields given by name.

    Raises:
        OptionError: a name is unknown.
    """
    known = {f.name for f in fields(FinetuneOptions)}
    for name in keywords:
        if name not in known:
            raise OptionError(unknown_name("option of finetune", name, known | {"image", "listener"}))
    return replace(options, **keywords)


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
