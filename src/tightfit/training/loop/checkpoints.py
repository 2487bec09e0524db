"""Checkpoints of a training, written after each epoch, whole or not at all.

A checkpoint is a zip of ``.npy`` members, as of ``numpy.savez``: ``facts`` (JSON), the variables of the
network and of the optimizer after the last good epoch (``now``), the variables of the network after the best
epoch (``best``) and after each finished stage (``stage0``). The teacher, which never changes, is not in it.
Arrays are written and read one at a time, so a checkpoint needs no memory.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.files import atomic_file

Arrays = Iterable[npt.NDArray[Any]]

NOW: Final = "now"
BEST: Final = "best"


@dataclass
class TrainingProgress:
    """The progress of a training.

    Args:
        settings: the options of the training; a training with other options does not resume from it.
        stage: index of the running stage.
        epoch: number of finished epochs of that stage.
        history: one row for each epoch: ``stage``, ``epoch``, ``loss`` and the metrics.
        best: ``epoch`` and ``value`` of the best epoch of the running stage, where there is validation data.
        gained: fraction of the loss on validation data that the last stage won over the model before it.
        counts: group of arrays in the checkpoint → number of its arrays.
    """

    settings: str
    stage: int = 0
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    gained: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def finish_stage(self) -> None:
        """Begin the next stage."""
        self.stage, self.epoch, self.best = self.stage + 1, 0, {}
        self.counts.pop(NOW, None)
        self.counts.pop(BEST, None)


def save_progress(path: Path, progress: TrainingProgress, groups: dict[str, Arrays]) -> None:
    """Write a checkpoint; arrays and JSON only, so that reading one executes nothing.

    Args:
        path: path of the checkpoint. Groups of its present file that ``progress.counts`` names are kept.
        progress: facts; its ``counts`` are brought up to date.
        groups: name → arrays of the groups to write.
    """
    kept = [name for name in progress.counts if name not in groups]
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, arrays in groups.items():
            progress.counts[name] = 0
            for array in arrays:
                with archive.open(f"{name}.{progress.counts[name]}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
                progress.counts[name] += 1
        for name in kept:
            for i, array in enumerate(stored_arrays(path, progress, name)):
                with archive.open(f"{name}.{i}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        facts = {k: v for k, v in vars(progress).items() if not k.startswith("_")}
        with archive.open("facts.npy", "w") as member:
            np.lib.format.write_array(member, np.frombuffer(json.dumps(facts).encode(), np.uint8))


def load_progress(path: Path, settings: str) -> TrainingProgress | None:
    """Return the checkpoint of a training with the same settings, or None.

    Args:
        path: path of the checkpoint.
        settings: the options of the training.

    Raises:
        ModelError: the file is not a checkpoint.
    """
    if not path.exists():
        return None
    with _damage(path), np.load(path, allow_pickle=False) as stored:
        found = TrainingProgress(**json.loads(stored["facts"].tobytes()))
    return found if found.settings == settings else None


def stored_arrays(path: Path, progress: TrainingProgress, group: str) -> Iterator[npt.NDArray[Any]]:
    """Yield the arrays of a group of a checkpoint, one at a time.

    Raises:
        ModelError: the file is damaged.
    """
    with _damage(path), np.load(path, allow_pickle=False) as stored:
        for i in range(progress.counts.get(group, 0)):
            yield stored[f"{group}.{i}"]


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns what the readers raise into a ``ModelError``."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"'{path}' is no checkpoint of a training. Delete it to start anew.") from error


class SaveEachEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Records the history and writes a checkpoint after each epoch with a finite loss.

    Args:
        path: path of the checkpoint.
        progress: the progress to update.
        settled: called with the number of finished epochs; returns whether an epoch may be the best one.
            Masks that still change rule it out.
    """

    def __init__(
        self, path: Path, progress: TrainingProgress, settled: Callable[[int], bool] | None = None
    ) -> None:
        super().__init__()
        self.path, self.progress = path, progress
        self.settled = settled or (lambda _epoch: True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the checkpoint."""
        facts = {k: float(v) for k, v in (logs or {}).items()}
        if not np.isfinite(facts.get("loss", 0.0)):
            return
        self.progress.epoch = epoch + 1
        self.progress.history.append({"stage": self.progress.stage, "epoch": epoch, **facts})
        groups: dict[str, Arrays] = {NOW: arrays_of(variables(self.model), self.model)}
        value = facts.get("val_loss")
        if value is not None and self.settled(epoch + 1) and value <= self.progress.best.get("value", value):
            self.progress.best = {"epoch": float(epoch), "value": value}
            groups[BEST] = arrays_of(trained_network(self.model).variables, self.model)
        save_progress(self.path, self.progress, groups)


def trained_network(model: Any) -> Any:
    """Return the network that a model trains: the student of a ``Distillation``, else the model."""
    return getattr(model, "student", model)


def variables(model: Any) -> list[Any]:
    """Return the variables of the network that a model trains and of its optimizer, in a fixed order."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*trained_network(model).variables, *optimizer.variables]


def arrays_of(wanted: Iterable[Any], model: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield copies of variables of a model as arrays, one at a time."""
    if keras.backend.backend() == "jax" and getattr(model, "_jax_state", None) is not None:
        model.jax_state_sync()
    return (np.array(keras.ops.convert_to_numpy(v)) for v in wanted)


def restore(found: list[Any], arrays: Arrays) -> None:
    """Restore variables from the arrays of a checkpoint.

    Raises:
        ModelError: the checkpoint belongs to another model or optimizer.
    """
    for variable, array in zip(found, _exactly(arrays, len(found)), strict=True):
        if tuple(variable.shape) != array.shape:
            raise ModelError("The checkpoint is of another model or optimizer. Delete it to start anew.")
        variable.assign(array)


def _exactly(arrays: Arrays, count: int) -> Iterator[npt.NDArray[Any]]:
    given = 0
    for given, array in enumerate(arrays, 1):
        if given <= count:
            yield array
    if given != count:
        raise ModelError("The checkpoint is of another model or optimizer. Delete it to start anew.")
