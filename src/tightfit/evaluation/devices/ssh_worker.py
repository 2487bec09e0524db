"""What runs on a remote device: the same interleaved latency, written as one line of JSON.

Called as ``python -m tightfit.evaluation.devices.ssh_worker JSON`` with paths, threads, rounds and seconds.
Needs nothing but what ``ssh_device.bundle`` sends, Python and ai-edge-litert.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tightfit.evaluation.latency import compare_latency
from tightfit.evaluation.machine import machine


def main() -> None:
    """Measures what the one argument asks for."""
    asked = json.loads(sys.argv[1])
    latencies = compare_latency(
        asked["models"], threads=asked["threads"], rounds=asked["rounds"], budget_s=asked["seconds"]
    )
    print(json.dumps({"machine": machine(), "latencies": [asdict(t) for t in latencies]}))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
