"""``UserModel``: a compiled Keras model that ``finetune`` trains on as the user trained it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit.api.parameters.training_sets import TrainingSets
from tightfit.graph.ir import Model
from tightfit.training.loop.training_options import TrainingOptions

if TYPE_CHECKING:
    from tightfit.training.loop.user_training import UserTraining

_COMPARED: Final = 4
"""Samples on which a written-back Keras model is compared with the trained graph."""
_CLOSE: Final = 1e-2


@dataclass(frozen=True)
class UserModel:
    """A compiled Keras model and its data.

    Args:
        model: the Keras model.
        data: batches as ``fit`` takes them, or (x, y) or (x, y, sample_weight).
    """

    model: Any
    data: Any

    @classmethod
    def of(cls, model: Any, data: Any, options: TrainingOptions) -> UserModel | None:
        """Return it where a compiled Keras model has data with labels, and no option says another loss.

        Args:
            model: what ``finetune`` was given.
            data: its training data.
            options: of the training.
        """
        plain = TrainingOptions()
        ours = ("loss", "learning_rate", "loss_weights", "class_weights", "features", "augment", "labels")
        if "keras" not in sys.modules or any(getattr(options, n) != getattr(plain, n) for n in ours):
            return None
        from tightfit.training.loop.user_training import (  # noqa: PLC0415 - loads Keras
            are_batches,
            is_trainable_as_compiled,
        )

        arrays = isinstance(data, tuple) and len(data) in (2, 3)
        fits = is_trainable_as_compiled(model) and (arrays or are_batches(data))
        return cls(model, data) if fits else None

    def training(self, sets: TrainingSets, options: Any) -> UserTraining:
        """Return the training: the user's batches, or batches of arrays without what chooses and measures.

        Args:
            sets: the divided data.
            options: of the command.
        """
        from tightfit.training.loop.user_training import (  # noqa: PLC0415 - loads Keras
            ArrayBatches,
            UserTraining,
            are_batches,
            steps_of,
        )

        validation = options.validation
        if are_batches(self.data):
            steps = steps_of(self.data, len(sets.dataset), options.batch)
            return UserTraining(self.model, self.data, steps, validation if are_batches(validation) else None)
        batches = ArrayBatches(self.data, sets.training, options.batch, options.seed)
        if sets.validation is sets.dataset and sets.validating is not None:
            validation = ArrayBatches(self.data, sets.validating, options.batch)
        elif isinstance(validation, tuple) and sets.validation is not None:
            validation = ArrayBatches(validation, np.arange(len(sets.validation)), options.batch)
        elif not are_batches(validation):
            validation = None
        return UserTraining(self.model, batches, len(batches), validation)

    def trained(self, before: Model, after: Model, sets: TrainingSets) -> tuple[Any, list[str]]:
        """Return a Keras model with the weights of the file, before they are rounded, and a note.

        It has the user's layers, with batch norm; where a weight has no place in them, it is a ``Network``.

        Args:
            before: the float graph of the user's model.
            after: that of the file.
            sets: the divided data.
        """
        from tightfit.training.keras_weights import with_trained_weights  # noqa: PLC0415 - loads Keras
        from tightfit.training.network import Network  # noqa: PLC0415 - loads Keras

        network = Network(after, check=False)
        same = len(before.main.tensors()) == len(after.main.tensors())
        found = with_trained_weights(self.model, before.main, after.main) if same else None
        samples = list(sets.dataset.samples([int(i) for i in sets.training[:_COMPARED]]))
        if found is not None and _agree(found, network, [s.inputs for s in samples]):
            return found, []
        return network, [
            "The Keras model handed back is a Network of the folded graph: some trained weights have no "
            "place in the layers of the model that was given."
        ]


def _agree(model: Any, network: Any, samples: list[Any]) -> bool:
    """True where a model gives about the outputs of a network."""
    import keras  # noqa: PLC0415 - loaded by the caller

    stacked = {n: np.concatenate([s[n] for s in samples]) for n in network.input_tensors}
    given = list(stacked.values())
    found = keras.tree.flatten(model(given[0] if len(given) == 1 else given, training=False))
    wanted = keras.tree.flatten(network(stacked))
    pairs = zip(found, wanted, strict=False)
    arrays = [tuple(np.asarray(keras.ops.convert_to_numpy(v)).reshape(-1) for v in pair) for pair in pairs]
    return all(
        a.size == b.size and float(np.abs(a - b).max()) <= _CLOSE * max(float(np.abs(b).max()), 1e-6)
        for a, b in arrays
    )
