"""Fine-tuning in stages: pruning in float first, then clustering and QAT together.

    sparsity alone          Mask                          float file with zeros
    scheme alone            plan                          QAT
    sparsity + scheme       Mask → Mask + plan            PQAT
    clusters + scheme       Cluster + plan                CQAT
    all three               Mask → Mask + Cluster + plan  PCQAT

Without labels the loss is the distillation from the float model; with labels, see ``distillation``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tightfit.graph.ir import Model
from tightfit.training.loop.checkpoints import TrainingProgress, load_progress
from tightfit.training.loop.finetune_spec import FinetuneSpec, check_clusters, check_request
from tightfit.training.loop.stage_training import StageTraining
from tightfit.training.loop.training_data import Trained, TrainingData, checkpoint_settings

__all__ = ["FinetuneSpec", "Trained", "TrainingData", "finetune"]


def finetune(
    model: Model,
    data: TrainingData,
    request: FinetuneSpec,
    checkpoint: Path,
    listener: Callable[[str, int, int, dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a float model as requested; resume from the checkpoint of the same training.

    Args:
        model: a cleaned float model; it is not changed.
        data: samples, teacher, and the function that makes a plan.
        request: sparsity, clusters, scheme, epochs and the other options.
        checkpoint: path of the checkpoint, written after each epoch; the caller removes it at the end.
        listener: progress callback, called with (stage, step, steps, metrics) after each step.

    Returns:
        The trained float model and its plan.

    Raises:
        OptionError, DataError: see ``check_request``.
        ModelError: an op has no lowering; the message names it.
    """
    labelled = check_request(request, data.dataset)
    check_clusters(request, model)
    settings = checkpoint_settings(request, data, model)
    progress = load_progress(checkpoint, settings) or TrainingProgress(settings)
    training = StageTraining(model, data, request, progress, labelled=labelled)
    for index, stage in enumerate(request.stages()):
        training.run(index, stage, checkpoint, listener)
    return Trained(
        training.current, training.plan, progress.history, training.notes, progress.gained, training.start
    )
