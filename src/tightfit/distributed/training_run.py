"""A training on a cluster as its actor and its workers see it.

Ray Train starts the workers, and starts them again from the last checkpoint when one dies. JAX joins the
processes of the workers to one program: each reads its share of a batch, and the collectives of JAX (gloo
between processors) sum over all of them.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tightfit.distributed.artifacts import Artifact, local_file
from tightfit.distributed.connection import refuse_skew, versions
from tightfit.distributed.options import RETRIES
from tightfit.distributed.raylet_watch import end_with_raylet
from tightfit.distributed.tasks import pack
from tightfit.errors import TightfitError
from tightfit.scratch import scratch_folder
from tightfit.training.loop.batch_share import Share

_SEND_EVERY_S: Final = 0.2
_JOINING_S: Final = 300
"""How long a worker waits for the others to join."""


class TrainingWork(Protocol):
    """What the workers do; ``api`` has it."""

    @property
    def batch(self) -> int:
        """Samples of a step, which the workers share."""

    def train(self, model: Path, checkpoint: Path, listener: Any, share: Share) -> Any:
        """Return what a training of the model's file gives; the checkpoint is read and written."""


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of a training.

    Args:
        count: of them.
        cpus: processors of each.
    """

    count: int
    cpus: int


@dataclass
class News:
    """What the driver has not received yet.

    Args:
        steps: (stage, step, steps, metrics) of the training.
        checkpoint: the newest one, where there is a newer one.
        version: number of the checkpoint.
        result: packed, at the end.
        refusal: name and sentence of an error of this package.
    """

    steps: list[tuple[str, int, int, dict[str, Any]]] = field(default_factory=list)
    checkpoint: bytes | None = None
    version: int = 0
    result: bytes | None = None
    refusal: tuple[str, str] | None = None


class TrainingRun:
    """The actor of one training: it has the newest checkpoint, and outlives the workers.

    Args:
        checkpoint: of an earlier run, or None.
    """

    def __init__(self, checkpoint: bytes | None) -> None:
        self.news_now = News(checkpoint=checkpoint)
        self.lock = threading.Lock()

    def fit(self, me: Any, context: Mapping[str, Any], group: WorkerGroup) -> None:
        """Train; returns when the training has ended, was refused, or failed too often.

        Args:
            me: this actor's handle.
            context: ``work``, ``model`` (an ``Artifact``), ``versions`` and ``fetch``.
            group: of workers.
        """
        from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - loads Ray Train
        from ray.train.v2.jax import JaxTrainer  # noqa: PLC0415 - as above

        variables = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        with scratch_folder() as folder:
            trainer = JaxTrainer(
                train_part,
                train_loop_config={**context, "run": me},
                scaling_config=ScalingConfig(
                    num_workers=group.count,
                    resources_per_worker={"CPU": group.cpus},
                    placement_strategy="SPREAD",
                ),
                run_config=RunConfig(
                    name="training",
                    storage_path=str(folder),
                    failure_config=FailureConfig(max_failures=RETRIES),
                    worker_runtime_env={"env_vars": variables},
                ),
            )
            trainer.fit()

    def add_step(self, step: tuple[str, int, int, dict[str, Any]]) -> None:
        """Take in a step."""
        with self.lock:
            self.news_now.steps.append(step)

    def save(self, checkpoint: bytes) -> None:
        """Take in a checkpoint."""
        with self.lock:
            self.news_now.checkpoint = checkpoint
            self.news_now.version += 1

    def load(self) -> bytes | None:
        """Return the newest checkpoint."""
        return self.news_now.checkpoint

    def finish(self, result: bytes) -> None:
        """Take in the packed result."""
        self.news_now.result = result

    def refuse(self, name: str, sentence: str) -> None:
        """Take in an error of this package: another try would end in the same way."""
        self.news_now.refusal = name, sentence

    def refused(self) -> bool:
        """Return whether a worker met such an error."""
        return self.news_now.refusal is not None

    def news(self, version: int) -> News:
        """Return what came since the last call.

        Args:
            version: of the checkpoint that the driver has.
        """
        with self.lock:
            now = self.news_now
            new = now.checkpoint if now.version != version else None
            steps, now.steps = now.steps, []
            return News(steps, new, now.version, now.result, now.refusal)


def train_part(context: dict[str, Any]) -> None:
    """Train in one worker of Ray Train; the first one sends the result to the run."""
    from ray.train import get_context  # noqa: PLC0415 - runs in Ray's workers

    end_with_raylet()
    mine, run, fetch = get_context(), context["run"], context["fetch"]
    if fetch(run.refused.remote()):
        return
    share = Share(mine.get_world_rank(), mine.get_world_size())
    try:
        refuse_skew(context["versions"], versions(), os.uname().nodename)
        with scratch_folder() as folder:
            place = folder / "training.checkpoint"
            _join(share)
            _take_checkpoint(run, fetch, share, place)
            listener = StepSender(run, fetch, share, place)
            model: Artifact = context["model"]
            found = fetch(context["work"]).train(local_file(model, fetch), place, listener, share)
            if share.number == 0:
                fetch(run.finish.remote(pack(found)))
    except TightfitError as error:
        fetch(run.refuse.remote(type(error).__name__, str(error)))
        raise


def _join(share: Share) -> None:
    """Make one JAX program of all workers, whose batches are spread over them."""
    if share.count == 1:
        return
    from ray.train.collective import broadcast_from_rank_zero  # noqa: PLC0415 - runs in Ray's workers

    address = broadcast_from_rank_zero(_free_address() if share.number == 0 else None)
    # What Ray Train sets for TPUs and GPUs alone.
    os.environ["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"
    import jax  # noqa: PLC0415 - after its environment is set

    jax.distributed.initialize(address, share.count, share.number, initialization_timeout=_JOINING_S)
    import keras  # noqa: PLC0415 - after JAX knows of all processes

    devices = keras.distribution.list_devices()
    spread = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(spread)


def _free_address() -> str:
    """An address of this node that others can reach."""
    from ray.util import get_node_ip_address  # noqa: PLC0415 - runs in Ray's workers

    with socket.socket() as port:
        port.bind(("", 0))
        return f"{get_node_ip_address()}:{port.getsockname()[1]}"


def _take_checkpoint(run: Any, fetch: Any, share: Share, place: Path) -> None:
    """Write the newest checkpoint, the same for all workers."""
    from ray.train.collective import broadcast_from_rank_zero  # noqa: PLC0415 - runs in Ray's workers

    content = broadcast_from_rank_zero(fetch(run.load.remote()) if share.number == 0 else None)
    if content is not None:
        place.write_bytes(content)


class StepSender:
    """Sends steps and new checkpoints to the run; called as a listener of the training.

    Args:
        run: the actor.
        fetch: returns what a reference stands for.
        share: only the first worker sends.
        place: of the checkpoint.
    """

    def __init__(self, run: Any, fetch: Any, share: Share, place: Path) -> None:
        self.run, self.fetch, self.place = run, fetch, place
        self.silent = share.number != 0
        self.sent, self.saved = 0.0, self._state()

    def __call__(self, stage: str, step: int, steps: int, metrics: Mapping[str, Any]) -> None:
        """Send a step; most of those that follow at once are left out."""
        if self.silent:
            return
        state = self._state()
        if state != self.saved:
            self.saved = state
            self.fetch(self.run.save.remote(self.place.read_bytes()))
        now = time.monotonic()
        if now - self.sent >= _SEND_EVERY_S or step == steps:
            self.sent = now
            plain = {name: float(value) for name, value in metrics.items()}
            self.run.add_step.remote((stage, step, steps, plain))

    def _state(self) -> int:
        return self.place.stat().st_mtime_ns if self.place.exists() else 0
