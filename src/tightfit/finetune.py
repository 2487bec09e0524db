"""The verb ``finetune``: from a float file, data and a wish to a trained file with its measured accuracy."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit.data.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.errors import DataError, ModelError, OptionError
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.graph.copying import copy_model
from tightfit.graph.writer import write_model
from tightfit.quantization.checking import check_file, random_probes
from tightfit.quantization.pipeline import finish, open_source, write_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.verbs import inputs_of

if TYPE_CHECKING:
    from tightfit.training.finetuning import Trained

Listener = Callable[[str, int, int, dict[str, Any]], None]

_BACKENDS: Final = ("tensorflow", "torch", "jax")
"""In the order of speed of a training step on a CPU, measured (docs/finetune.md)."""
_HELD_OUT: Final = 0.25
_MOST_HELD_OUT: Final = 1000


@dataclass(frozen=True)
class Options:
    """What ``finetune`` takes besides model, data and output; see ``training.finetuning.Request``.

    Args:
        train: samples to train with at most, None for all that are not held out.
        layout: ``cpu``, ``npu`` or ``micro``.
    """

    scheme: str | None = None
    interface: str = "float32"
    sparsity: float | None = None
    pattern: str = "unstructured"
    scope: str = "layer"
    clusters: int | None = None
    per: str = "tensor"
    epochs: int = 5
    batch: int = 32
    learning_rate: float = 2e-4
    labels: str = "auto"
    features: tuple[str, ...] = ()
    seed: int = 0
    train: int | None = None
    layout: str = "cpu"


@dataclass
class Finetuned:
    """A trained file.

    Args:
        path: the file. original, accuracy: of the float model and of the file on the held-out samples.
        footprint: sizes. history: one row an epoch. notes: what a reader should know.
        zeros: share of zeros in the stored weights. values: the most distinct values in one of them.
    """

    path: Path
    original: Accuracy
    accuracy: Accuracy
    footprint: Footprint
    zeros: float
    values: int
    history: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def finetune(
    model: str | Path,
    data: str,
    output: str | Path,
    options: Options | None = None,
    *,
    image: ImageOptions | None = None,
    listener: Listener | None = None,
) -> Finetuned:
    """Trains a float ``.tflite`` for the integers, zeros and shared values that are asked for.

    A quarter of the samples (at most 1,000) is held out to measure with. The checkpoint
    ``<output>.checkpoint`` is written after each epoch; the same call goes on from it.

    Raises:
        OptionError: an option is wrong, or Keras is not installed. DataError: the data does not fit.
        ModelError: the model cannot be trained, or the output cannot be written.
    """
    chosen, output = options or Options(), Path(output)
    choose_backend()
    from tightfit.training.finetuning import Request  # noqa: PLC0415 - loads Keras
    from tightfit.training.finetuning import finetune as train  # noqa: PLC0415 - loads Keras

    source = open_source(model)
    if output.resolve() == source.path.resolve():
        raise OptionError(
            f"The output '{output}' is the model itself, which is never changed; name another file."
        )
    dataset = open_data(data, image=image, inputs=inputs_of(source.model, model))
    if len(dataset) < 2:
        raise DataError(f"The data has {len(dataset)} sample; training takes many. Give at least 100.")
    held = min(_MOST_HELD_OUT, max(1, int(_HELD_OUT * len(dataset))))
    evaluating, training = split(dataset.labels(), len(dataset), held, seed=chosen.seed)
    if chosen.train is not None:
        training = training[: chosen.train]
    training = np.random.default_rng(chosen.seed).permutation(training)
    names = {k: v for k, v in asdict(chosen).items() if k not in ("scheme", "interface", "train", "layout")}
    scheme = None if chosen.scheme is None else find_scheme(chosen.scheme, chosen.interface)
    request = Request(**{**names, "scheme": scheme, "features": chosen.features})
    checkpoint = output.with_name(output.name + ".checkpoint")
    output.parent.mkdir(parents=True, exist_ok=True)
    trained = train(source.model, dataset, training, request, checkpoint, listener)
    notes = [*trained.notes, *_write(source, trained, output, chosen.layout)]
    before, after = evaluate_models([source.path, output], dataset, evaluating, threads=2)
    checkpoint.unlink(missing_ok=True)
    zeros, values = weight_facts(output)
    return Finetuned(output, before, after, footprint(output), zeros, values, trained.history, notes)


def choose_backend() -> str:
    """Gives the Keras backend: ``KERAS_BACKEND`` when it is set, else the fastest that is installed.

    Raises:
        OptionError: Keras or every backend is missing.
    """
    installed = [b for b in _BACKENDS if find_spec(b) is not None]
    if find_spec("keras") is None or not installed:
        raise OptionError("Training needs Keras and a backend: pip install 'tightfit[keras]'.")
    return os.environ.setdefault("KERAS_BACKEND", installed[0])


def _write(source: Any, trained: Trained, output: Path, layout: str) -> list[str]:
    """Writes the file, checked on LiteRT; a float result is compared with its own graph."""
    if trained.plan is not None:
        probes = random_probes(source.path, source.model)
        written = write_plan(
            replace(source, model=trained.model), trained.plan, output, target=layout, probes=probes
        )
        return written.notes
    model = copy_model(trained.model)
    finish(model)
    try:
        write_model(model, output)
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {error.strerror}. Choose a writable place.") from error
    check_file(output, model, [])
    return []


def weight_facts(path: Path) -> tuple[float, int]:
    """Gives the share of zeros in the large weights of a file, and the most distinct values in one."""
    from tightfit.graph.reader import read_model  # noqa: PLC0415 - only for the result
    from tightfit.graph.sparsity import dense_values  # noqa: PLC0415 - only for the result

    zeros = total = values = 0
    for tensor in (t for g in read_model(path).graphs for t in g.tensors() if t.is_constant):
        if tensor.dtype not in ("float32", "int8", "int4", "float16") or tensor.size < _SMALLEST_WEIGHT:
            continue
        data = dense_values(tensor)
        zeros += int((data == 0).sum())
        total += data.size
        values = max(values, np.unique(data).size)
    return zeros / max(total, 1), values


_SMALLEST_WEIGHT: Final = 256
