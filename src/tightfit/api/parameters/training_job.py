"""``TrainingJob``: a training as a worker of a cluster gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightfit.api.parameters.finetune_options import FinetuneOptions, spec_of
from tightfit.api.parameters.training_sets import GivenTraining, TrainingSets, open_sets, understood_labels
from tightfit.data.user_code import load_function
from tightfit.distributed.context import (
    by_value,
    named_data,
    plain_data,
    portable_data,
    portable_metrics,
    refuse_untrusted,
)
from tightfit.evaluation.accuracy import wanted_metrics
from tightfit.evaluation.labels.label_kinds import Head
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.pipeline.source import open_source
from tightfit.pipeline.training_start import training_start
from tightfit.training.loop.batch_share import WHOLE, Share

if TYPE_CHECKING:
    from tightfit.training.loop.packed_training import PackedTraining
    from tightfit.training.loop.training_data import TrainingData


@dataclass(frozen=True)
class TrainingJob:
    """What a worker needs beside the float model.

    Args:
        given: data and image options; no model.
        chosen: the options, with data as workers open it.
        batch: samples of a step.
        teachers: other teachers as files.
        frozen: keys of constants that are not trained.
    """

    given: GivenTraining
    chosen: FinetuneOptions
    batch: int
    teachers: tuple[bytes, ...] = ()
    frozen: frozenset[str] = frozenset()

    def train(self, model: Path, checkpoint: Path, listener: Any, share: Share) -> PackedTraining:
        """Return what the training gives; see ``training.loop.finetuning``.

        Args:
            model: the float file.
            checkpoint: to go on from, and to write.
            listener: called with (stage, step, steps, metrics).
            share: of each batch.
        """
        from tightfit.training.loop.finetuning import finetune as train  # noqa: PLC0415 - loads Keras
        from tightfit.training.loop.packed_training import PackedTraining  # noqa: PLC0415 - loads Keras

        source, chosen = open_source(model), _opened(self.chosen)
        sets = open_sets(source, replace(self.given, data=plain_data(self.given.data)), chosen)
        named_data(sets.dataset, self.given.data)
        request = spec_of(chosen)
        heads = understood_labels(source, sets, request, chosen).heads
        teachers = [read_model(content) for content in self.teachers] or [source.model]
        material = training_material(sets, teachers, chosen.layout, heads, frozen=self.frozen, share=share)
        return PackedTraining.of(train(source.model, material, request, checkpoint, listener))


def training_material(  # noqa: PLR0913 - the parts of one training
    sets: TrainingSets,
    teachers: Sequence[Model],
    layout: str,
    heads: Sequence[Head],
    *,
    user: Any = None,
    frozen: frozenset[str] = frozenset(),
    share: Share = WHOLE,
) -> TrainingData:
    """Return the data of a training.

    Args:
        sets: the samples.
        teachers: float models.
        layout: of the file.
        heads: what the labels mean.
        user: the training of a compiled Keras model, or None.
        frozen: keys of constants that are not trained.
        share: of each batch.
    """
    from tightfit.training.loop.training_data import TrainingData  # noqa: PLC0415 - loads Keras

    start = partial(training_start, layout=layout)
    return TrainingData(
        sets.dataset, sets.training, teachers, start, heads,
        sets.validation, sets.validating, user, frozen, share,
    )  # fmt: skip


def portable_training(
    given: GivenTraining,
    chosen: FinetuneOptions,
    batch: int,
    teachers: Sequence[Model],
    frozen: frozenset[str],
    *,
    trust_code: bool,
) -> TrainingJob:
    """Return a training that workers can open: paths absolute, functions by value where they are trusted.

    Args:
        given: model and data.
        chosen: the options.
        batch: samples of a step.
        teachers: other teachers than the model.
        frozen: keys of constants that are not trained.
        trust_code: whether functions of the user may run on the workers.

    Raises:
        OptionError: there is a function of the user, and nobody said that it is trusted.
    """

    def opened(data: Any) -> Any:
        return None if data is None else portable_data(data, trust_code=trust_code)

    def function(given: Any) -> Any:
        is_named = isinstance(given, str) and ":" in given
        if not callable(given) and not is_named:
            return given
        refuse_untrusted(f"the function '{given}'", trust_code=trust_code)
        return by_value(load_function(given, "a function of the training") if is_named else given)

    losses = spec_of(chosen).words().losses if chosen.loss != "auto" else {}
    portable = replace(
        chosen,
        validation=opened(chosen.validation),
        test=opened(chosen.test),
        metric=portable_metrics(wanted_metrics(chosen.metric), trust_code=trust_code),
        loss={output: function(loss) for output, loss in losses.items()} or "auto",
        augment=tuple(function(each) for each in chosen.augment),
        teacher=None if chosen.teacher is None else "given",
    )
    shared = GivenTraining("", opened(given.data), given.image, Path())
    return TrainingJob(shared, portable, batch, tuple(map(serialize, teachers)), frozen)


def _opened(chosen: FinetuneOptions) -> FinetuneOptions:
    data: Mapping[str, Any] = {"validation": chosen.validation, "test": chosen.test}
    return replace(chosen, **{name: plain_data(each) for name, each in data.items()})
