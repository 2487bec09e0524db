"""Which cluster is used, and what it may do: plain data, so that a command can be checked without Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tightfit.errors import OptionError

LATENCY: Final = "latency:"
"""How the names of Ray resources begin that say on which node latency is measured."""

OWN: Final = "ray"
"""The address of a cluster that is started on this machine for one search."""

RETRIES: Final = 8
"""How often Ray starts a task or a training again whose worker or node died."""

_ADDRESS: Final = re.compile(r"(ray://)?[\w.-]+:\d{1,5}")
_MOST_WORKERS: Final = 4096
_NAME: Final = re.compile(r"[\w.-]+")
_EXPECTED: Final = (
    "expected ray (this machine), ray://HOST:10001 (the client's port of a cluster's head) or HOST:6379 "
    "(from a machine of the cluster)"
)


def is_cluster(place: object) -> bool:
    """Return whether an option's text names a cluster of Ray.

    Example:
        >>> [is_cluster(each) for each in ("ray", "head:6379", "ssh://pi@board:22", "arm:cortex-a53")]
        [True, True, False, False]
    """
    return isinstance(place, str) and (place == OWN or _ADDRESS.fullmatch(place) is not None)


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster for a search.

    Args:
        address: ``ray``, ``ray://HOST:PORT`` or ``HOST:PORT``.
        latency: name of the resource ``latency:NAME`` whose nodes measure latency; None for the only one.
        trust_code: whether functions of the user, for data and metrics, run on the workers.
        store_bytes: object store of a cluster that is started here.
        workers: that share the batches of a training; None for one a node.

    Raises:
        OptionError: the address or the name is not understood.

    Example:
        >>> RayCluster.of("ray://head:10001").address
        'ray://head:10001'
    """

    address: str = OWN
    latency: str | None = None
    trust_code: bool = False
    store_bytes: int = 200 << 20
    workers: int | None = None

    def __post_init__(self) -> None:
        """Check the address and the name."""
        if self.address != OWN and not _ADDRESS.fullmatch(self.address):
            raise OptionError(f"Received '{self.address}' as the cluster; {_EXPECTED}.")
        if self.latency is not None and not _NAME.fullmatch(self.latency):
            raise OptionError(
                f"Received '{self.latency}' as the node for latency; expected NAME of a Ray resource "
                f"{LATENCY}NAME, such as pi5."
            )

        if self.workers is not None and not 1 <= self.workers <= _MOST_WORKERS:
            raise OptionError(f"Received {self.workers} workers; expected 1 to {_MOST_WORKERS:,}.")

    @classmethod
    def of(cls, given: object) -> RayCluster:
        """Return a cluster of an address, or the cluster itself.

        Raises:
            OptionError: it is neither.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, str):
            raise OptionError(f"Received a cluster of type {type(given).__name__}; {_EXPECTED}.")
        return cls(given)
