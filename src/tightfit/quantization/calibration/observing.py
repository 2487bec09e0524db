"""One pass of a model over samples, with observers of its outputs, on all cores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tightfit.graph.format.temporary_files import stored_bytes, temporary_file
from tightfit.graph.ir import Model
from tightfit.graph.signatures import keeps_state
from tightfit.runtime.child.child_process import prepare_shared
from tightfit.runtime.child.process import cores, worker_count
from tightfit.runtime.parallel import Mergeable, observe_together
from tightfit.types import Array

LARGE: Final = 64_000_000
"""A model with more bytes of constants than this is loaded once, for all cores."""


def lane_count(model: Model) -> int:
    """Return how many sessions share the samples; lane i has the samples i, i + n, i + 2n."""
    alone = keeps_state(model) or stored_bytes(model) > LARGE
    return 1 if alone else worker_count()


def observe_model(
    model: Model,
    samples: Iterable[Mapping[str, Array]],
    observers: Mapping[str, Mergeable],
    *,
    workers: int | None = None,
) -> dict[str, Any]:
    """Return the observers after they saw every sample; see ``runtime.parallel.observe_together``.

    The model passes through a file, which LiteRT maps, and runs in the process that earlier passes started.

    Args:
        model: the model, with the observed tensors as outputs.
        samples: inputs by name, read once.
        observers: output → observer.
        workers: sessions; one a core, at most 4, by default; always one for a large model and one with state.

    Raises:
        DataError: a sample does not fit. RuntimeFailureError: LiteRT refuses or dies.
    """
    large, state = stored_bytes(model) > LARGE, keeps_state(model)
    several = 1 if large or state else workers or lane_count(model)
    # Kernels outside of the delegate give other last bits with more threads; large models run inside of it.
    threads = cores() if large and not state else 1
    prepare_shared(worker_count())
    with temporary_file(model) as path:
        return observe_together(path, samples, observers, workers=several, threads=threads, shared=True)
