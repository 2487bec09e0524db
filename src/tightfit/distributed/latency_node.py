"""Latency on a cluster: only on nodes that carry the resource ``latency:NAME``, one job at a time, alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tightfit.distributed.artifacts import Artifact
from tightfit.distributed.connection import Connection
from tightfit.distributed.needs import Node
from tightfit.distributed.options import LATENCY, RETRIES
from tightfit.distributed.task_queue import TaskQueue
from tightfit.distributed.tasks import perform
from tightfit.errors import OptionError
from tightfit.evaluation.latency import Latency
from tightfit.search.verdict.budget import Budget


class LatencyNode:
    """The node, or nodes of one kind, that measure.

    Args:
        connection: to the cluster.
        budget: what the search must keep to.

    Raises:
        OptionError: the budget limits latency, and no node measures it.
    """

    def __init__(self, connection: Connection, budget: Budget) -> None:
        self.connection = connection
        self.notes: list[str] = []
        self.jobs = 0
        nodes = connection.latency_nodes()
        if not nodes:
            self._none(budget)
            return
        self.name = connection.cluster.latency or nodes[0].latency[0]
        hosts = ", ".join(sorted({node.host for node in nodes}))
        self.notes.append(f"Latency was measured on {hosts} ({LATENCY}{self.name}), one job at a time.")

    def _none(self, budget: Budget) -> None:
        how = f"ray start --resources='{{\"{LATENCY}NAME\": 1}}'"
        if budget.max_latency is not None or budget.max_latency_ratio is not None:
            raise OptionError(
                f"The budget limits latency, and no node of the cluster measures it. Start one with {how}."
            )
        self.name = ""
        self.notes.append(f"Latency was not measured: no node of the cluster has been started with {how}.")

    def measure(
        self,
        queue: TaskQueue,
        context: Any,
        files: Sequence[Artifact],
        seconds: float,
        precision: float,
    ) -> list[Latency] | None:
        """Return the latency of the float model and of files, measured together; None without a node.

        The task takes every processor of its node, and waits until nothing else runs on that machine.

        Args:
            queue: of the search.
            context: reference to the search's context.
            files: beside the float model.
            seconds: longest time of measuring.
            precision: see ``compare_latency``.
        """
        nodes = [node for node in self.connection.nodes() if self.name and self.name in node.latency]
        if not self.name:
            return None
        self.jobs += 1
        options = {
            "num_cpus": min((node.cpus for node in nodes), default=0.0),
            "resources": {f"{LATENCY}{self.name}": 1},
            "max_retries": RETRIES,
        }
        remote = self.connection.ray.remote(**options)(perform)
        shared = _shares_its_machine(nodes, self.connection.nodes())
        if shared:
            queue.drain()
        try:
            task = queue.add_now(
                ("latency", "", str(self.jobs)),
                lambda: remote.remote(context, "latency", files, seconds, precision),
            )
            found: list[Latency] = queue.result(task, self._is_there)
        finally:
            if shared:
                queue.release()
        return found

    def _is_there(self) -> bool:
        return any(self.name in node.latency for node in self.connection.nodes())


def _shares_its_machine(measuring: Sequence[Node], nodes: Sequence[Node]) -> bool:
    """True where ordinary tasks may run on a machine that measures."""
    hosts = {node.host for node in measuring}
    return any(node.host in hosts and node.cpus for node in nodes)
