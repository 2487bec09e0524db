"""A worker ends with its raylet: Ray lets one that is busy go on with its task, on a node that is lost."""

from __future__ import annotations

import os
import select
import threading
from functools import lru_cache


@lru_cache(maxsize=1)
def end_with_raylet() -> None:
    """End this process as soon as the raylet that started it has died; its children end with it.

    Does nothing outside of a worker of Ray, and where the system has no process descriptors (not Linux).
    """
    number = os.environ.get("RAY_RAYLET_PID", "")
    if not number.isdigit() or not hasattr(os, "pidfd_open"):
        return
    try:
        raylet = os.pidfd_open(int(number))
    except ProcessLookupError:
        os._exit(1)
    except OSError:  # the kernel or the container does not permit it
        return
    threading.Thread(target=_wait, args=(raylet,), daemon=True).start()


def _wait(raylet: int) -> None:
    poll = select.poll()
    poll.register(raylet, select.POLLIN)
    poll.poll()
    os._exit(1)
