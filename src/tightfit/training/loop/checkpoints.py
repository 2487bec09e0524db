"""Checkpoints of a training, written after each epoch, whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tightfit.errors import ModelError
from tightfit.files import atomic_file


@dataclass
class Progress:
    """The progress of a training.

    Args:
        settings: the options of the training; a training with other options does not resume from it.
        stage: index of the running stage.
        epoch: number of finished epochs of that stage.
        history: one row for each epoch: ``stage``, ``epoch``, ``loss`` and the metrics.
        arrays: the variables of model and optimizer after the last epoch.
        finished: the variables at the end of each finished stage.
    """

    settings: str
    stage: int = 0
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    arrays: list[np.ndarray[Any, Any]] = field(default_factory=list)
    finished: list[list[np.ndarray[Any, Any]]] = field(default_factory=list)

    def finish_stage(self) -> None:
        """Begin the next stage and store the variables of the finished one."""
        self.finished.append(self.arrays)
        self.stage, self.epoch, self.arrays = self.stage + 1, 0, []


def save_progress(path: Path, progress: Progress) -> None:
    """Write a checkpoint; arrays and JSON only, so that reading one executes nothing."""
    facts = {k: getattr(progress, k) for k in ("settings", "stage", "epoch", "history")}
    facts["counts"] = [len(arrays) for arrays in (*progress.finished, progress.arrays)]
    every = [a for arrays in (*progress.finished, progress.arrays) for a in arrays]
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    buffer = io.BytesIO()
    named: dict[str, Any] = {f"a{i}": a for i, a in enumerate(every)}
    np.savez(buffer, facts=text, **named)
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def load_progress(path: Path, settings: str) -> Progress | None:
    """Return the checkpoint of a training with the same settings, or None.

    Args:
        path: path of the checkpoint.
        settings: the options of the training.

    Raises:
        ModelError: the file is not a checkpoint.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(stored["facts"].tobytes())
            arrays = iter([stored[f"a{i}"] for i in range(sum(facts["counts"]))])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"'{path}' is no checkpoint of a training. Delete it to start anew.") from error
    *finished, current = [[next(arrays) for _ in range(count)] for count in facts.pop("counts")]
    found = Progress(arrays=current, finished=finished, **facts)
    return found if found.settings == settings else None


class SaveEachEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Records the history and writes a checkpoint after each epoch with a finite loss.

    Args:
        path: path of the checkpoint.
        progress: the progress to update.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__()
        self.path, self.progress = path, progress

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the checkpoint."""
        facts = {k: float(v) for k, v in (logs or {}).items()}
        if not np.isfinite(facts.get("loss", 0.0)):
            return
        self.progress.epoch = epoch + 1
        self.progress.history.append({"stage": self.progress.stage, "epoch": epoch, **facts})
        self.progress.arrays = arrays_of(self.model)
        save_progress(self.path, self.progress)


def variables(model: Any) -> list[Any]:
    """Return the variables of a compiled model and of its optimizer, in a fixed order."""
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    return [*model.trainable_variables, *model.non_trainable_variables, *optimizer.variables]


def arrays_of(model: Any) -> list[np.ndarray[Any, Any]]:
    """Return copies of ``variables`` as arrays."""
    if keras.backend.backend() == "jax" and getattr(model, "_jax_state", None) is not None:
        model.jax_state_sync()
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables(model)]


def restore(model: Any, arrays: list[np.ndarray[Any, Any]]) -> None:
    """Restore the variables of a checkpoint.

    Raises:
        ModelError: the checkpoint belongs to another model or optimizer.
    """
    found = variables(model)
    if [tuple(v.shape) for v in found] != [a.shape for a in arrays]:
        raise ModelError("The checkpoint is of another model or optimizer. Delete it to start anew.")
    for variable, array in zip(found, arrays, strict=True):
        variable.assign(array)
