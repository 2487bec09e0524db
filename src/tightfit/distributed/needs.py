"""What each kind of task needs of a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.distributed.connection import Node
from tightfit.errors import RuntimeFailureError
from tightfit.units import format_bytes


@dataclass(frozen=True)
class Need:
    """What a task needs.

    Args:
        cpus: processors that it keeps busy; fewer where no node has so many.
        base_bytes: memory of its processes without a model.
        copies: bytes of memory for each byte of the float model.
    """

    cpus: int
    base_bytes: int = 400_000_000
    copies: int = 6

    def options(self, nodes: Sequence[Node], model_bytes: int) -> dict[str, float]:
        """Return Ray's options of a task.

        Args:
            nodes: those that are alive.
            model_bytes: size of the float model.

        Raises:
            RuntimeFailureError: no node has the memory.

        Example:
            >>> Need(4).options([Node("a", "host", 2, 8e9)], 1_000_000)
            {'num_cpus': 2, 'memory': 406000000}
        """
        memory = self.base_bytes + self.copies * model_bytes
        most = max((node.memory for node in nodes), default=0.0)
        if nodes and memory > most:
            raise RuntimeFailureError(
                f"A task needs {format_bytes(memory)} of memory, and the largest node offers "
                f"{format_bytes(int(most))}. Add a larger node to the cluster."
            )
        cpus = max((int(node.cpus) for node in nodes), default=1)
        return {"num_cpus": max(1, min(self.cpus, cpus)), "memory": memory}


NEEDS: Final = {
    "tasks": Need(2),
    "examine": Need(2),
    "lane": Need(1),
    "count": Need(1),
    "make": Need(1),
    "recover": Need(4, copies=12),
    "sizes": Need(1),
    "layers": Need(1),
    "shard": Need(2),
    "limited": Need(2),
}
"""Kind of task → its need; latency has a node for itself."""
