"""What the nodes of a cluster offer, and what each kind of task needs of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tightfit.distributed.options import LATENCY
from tightfit.errors import RuntimeFailureError
from tightfit.units import format_bytes

_RAM: Final = 1 << 30

Machine = tuple[str, str]
"""Name and address."""


@dataclass(frozen=True)
class Node:
    """A node that is alive.

    Args:
        key: Ray's id of it.
        host: name of the machine that it runs on. cpus, memory: what it offers.
        latency: names of its latency resources.
        address: of its machine; several machines may have one name.
    """

    key: str
    host: str
    cpus: float
    memory: float
    latency: tuple[str, ...] = ()
    address: str = ""

    @property
    def machine(self) -> Machine:
        """Name and address of its machine."""
        return self.host, self.address


def node_of(facts: Mapping[str, Any]) -> Node:
    """Return a node from what ``ray.nodes`` returns of it."""
    offered = facts["Resources"]
    names = tuple(name.removeprefix(LATENCY) for name in offered if name.startswith(LATENCY))
    address = facts["NodeManagerAddress"]
    host = facts.get("NodeManagerHostname") or address
    cpus, memory = offered.get("CPU", 0.0), offered.get("memory", _RAM)
    return Node(facts["NodeID"], host, cpus, memory, names, address)


def processors(nodes: Sequence[Node], cores_of: Mapping[Machine, int]) -> tuple[int, bool]:
    """Return the processors of machines, and whether nodes offer more than their machine has.

    Args:
        nodes: of the cluster.
        cores_of: machine → its processors; what nodes of another machine offer is believed.

    Example:
        >>> four = [Node(f"raylet{i}", "laptop", 1, 8e9) for i in range(4)]
        >>> processors([*four, Node("big", "server", 64, 8e9)], {("laptop", ""): 2})
        (66, True)
    """
    offered = Counter[Machine]()
    for node in nodes:
        offered[node.machine] += int(node.cpus)
    found = sum(min(count, cores_of.get(machine, count)) for machine, count in offered.items())
    return found, found < offered.total()


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
