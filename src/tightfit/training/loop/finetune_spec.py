"""The specification of a fine-tuning, and its checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tightfit.data.dataset import Dataset
from tightfit.errors import DataError, OptionError
from tightfit.graph.ir import Model
from tightfit.quantization.scheme import Scheme
from tightfit.training.loop.augmentation import check_augmentations
from tightfit.training.loop.training_options import TrainingOptions
from tightfit.training.losses.loss_words import (
    AUTO,
    LossWords,
    parse_class_weights,
    parse_losses,
    parse_weights,
)
from tightfit.training.option_checks import check_ranges, check_schedule, check_sparsity
from tightfit.weights.zeros import check_zeros

MOST_CLUSTERS: Final = 256
_BELONGING: Final = {
    "sparsity": ("pattern", "scope", "schedule"),
    "clusters": ("per", "initial"),
    "scheme": ("ranges",),
}
"""Option → those that say how it is reached."""


@dataclass(frozen=True)
class FinetuneSpec(TrainingOptions):
    """The specification of a fine-tuning: ``TrainingOptions`` and a scheme.

    Args:
        scheme: scheme of the file; None for float.
    """

    scheme: Scheme | None = None

    @property
    def rate(self) -> float:
        """The learning rate: larger with pruning, smaller with clustering.

        Measured on the demo: with 85 % zeros, 0.02 gives 90.3 % accuracy, 0.01 gives 89.3 %, 0.005 gives
        87.5 %. With QAT only, after three epochs of 60,000 images, 0.005 gives 93.1 %, 0.01 gives 93.0 %,
        0.002 gives 92.9 %. With 16 centroids a tensor, after four epochs of 20,000 images, 0.002 gives 92.6 %
        and 0.005 gives 92.5 %; on 10,000 others 94.0 % and 93.8 %.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        if self.sparsity is not None:
            return 0.02
        return 0.005 if self.clusters is None else 0.002

    def words(self) -> LossWords:
        """Return what is said about the losses.

        Raises:
            OptionError: a loss is unknown, or a weight is none.
        """
        losses = parse_losses(self.loss)
        if self.labels == "input" and losses.get("", AUTO) == AUTO:
            losses[""] = "input"
        weights = parse_weights(self.loss_weights, "loss weight")
        return LossWords(losses, weights, parse_class_weights(self.class_weights))

    def stages(self) -> list[str]:
        """Return the stages in order: ``prune``, ``finish``."""
        if self.sparsity is not None and (self.scheme is not None or self.clusters is not None):
            return ["prune", "finish"]
        return ["finish"]


def check_spec(request: FinetuneSpec) -> None:
    """Check what a training is asked for; needs no data and no Keras.

    Raises:
        OptionError: the request is empty, or a number is out of range.
    """
    wishes = (request.scheme, request.sparsity, request.clusters, request.teacher)
    if all(wish is None for wish in wishes):
        raise OptionError(
            "There is nothing to train for: give a scheme, a sparsity, a number of clusters, or several; or "
            "the teacher of a smaller model."
        )
    if request.scheme is not None and request.scheme.compute != "integer":
        raise OptionError(
            f"Training rounds as integer kernels do; '{request.scheme.name}' has none. "
            "Take int8, int16x8 or int8x4, or quantize without training."
        )
    if request.sparsity is not None:
        check_sparsity(request.sparsity)
        check_zeros(request.sparsity, request.pattern, request.scope)
    if request.clusters is not None and not 2 <= request.clusters <= MOST_CLUSTERS:
        raise OptionError(f"Received {request.clusters} clusters; expected 2 to {MOST_CLUSTERS}, such as 16.")
    _refuse_idle(request)
    check_schedule(request.schedule)
    check_ranges(request.ranges)
    if request.epochs < len(request.stages()):
        raise OptionError(
            f"Pruning and then rounding takes 2 epochs or more; received {request.epochs}."
            if request.epochs == 1
            else f"Training takes at least one epoch; received {request.epochs}."
        )
    if not 0 < request.rate < 1:
        raise OptionError(f"A learning rate lies between 0 and 1; received {request.rate:g}.")
    if request.labels not in ("auto", "yes", "no", "input"):
        raise OptionError(f"Labels are auto, yes, no or input; received '{request.labels}'.")
    request.words()
    check_augmentations(request.augment, labelled=False)


def _refuse_idle(request: FinetuneSpec) -> None:
    """Refuse an option of pruning or clustering where nothing is pruned or clustered."""
    plain = TrainingOptions()
    for wish, names in _BELONGING.items():
        changed = [n for n in names if getattr(request, n) != getattr(plain, n)]
        if getattr(request, wish) is None and changed:
            value = getattr(request, changed[0])
            raise OptionError(
                f"Received --{changed[0]} {value} without --{wish}, which it is for. Give both or neither."
            )


def check_request(request: FinetuneSpec, dataset: Dataset) -> bool:
    """Checks a request against the data; gives whether labels are used.

    Raises:
        OptionError: see ``check_spec``.
        DataError: labels are asked for and the data has none.
    """
    check_spec(request)
    if request.labels == "yes" and not dataset.has_labels:
        raise DataError("--labels yes needs labels, but the data has none. Give labels, or --labels no.")
    given = dataset.has_labels or "input" in request.words().losses.values()
    return given and request.labels != "no"


def check_clusters(request: FinetuneSpec, model: Model) -> None:
    """Check that the number of clusters is below the number of weights.

    Raises:
        OptionError: it is not, or it is below 2.
    """
    if request.clusters is None:
        return
    largest = max((t.size for t in model.main.tensors() if t.is_constant and t.dtype == "float32"), default=0)
    if not 2 <= request.clusters < largest:
        raise OptionError(
            f"Received {request.clusters} clusters; the model's largest tensor has {largest} weights. "
            "Take from 2 to 256."
        )
