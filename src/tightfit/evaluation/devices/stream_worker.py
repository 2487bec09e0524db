r"""What runs a file on a device with Python: one request a sample on stdin, its outputs on stdout, as bytes.

    request:  b"run N\n", then for each of N inputs its bytes: length (8, little-endian), content
              b"time RUNS WARMUP\n": times calls on the last inputs
    answer:   b"ok N\n" with N outputs likewise (of "time": one, RUNS doubles in ms), or b"error 1\n" with a
              sentence

Inputs and outputs are in the order and in the types and shapes of the file's signature; whoever asks reads
them from the file. Called as ``python -m tightfit.evaluation.devices.stream_worker FILE JSON`` with the
signature's key and the names of its inputs and outputs; the C program of
``deployment/templates/device_runner.c`` speaks the same.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any, BinaryIO

import numpy as np

from tightfit.runtime.worker import Worker
from tightfit.types import Array


def main() -> None:
    """Serve the file of the command line until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what LiteRT prints is no answer
    worker, requests, asked = Worker(), sys.stdin.buffer, json.loads(sys.argv[2])
    try:
        facts = worker.load(sys.argv[1], threads=1, delegate=True, signature=asked["signature"])
    except Exception as error:  # noqa: BLE001 - whatever LiteRT raises is its reason
        put(answers, "error", [str(error).encode()])
        return
    specs = {spec["name"]: spec for spec in facts["inputs"]}
    put(answers, "ok", [])
    sample: dict[str, Array] = {}
    while (head := requests.readline()).startswith((b"run ", b"time ")):
        if head.startswith(b"time "):
            runs, warmup = (int(word) for word in head.split()[1:3])
            put(answers, "ok", [np.asarray(worker.time(sample, runs, warmup), "<f8").tobytes()])
            continue
        given = [take(requests) for _ in range(int(head.split()[1]))]
        try:
            sample = {n: _array(specs[n], b) for n, b in zip(asked["inputs"], given, strict=True)}
            outputs = worker.run(sample)
            put(answers, "ok", [np.ascontiguousarray(outputs[n]).tobytes() for n in asked["outputs"]])
        except Exception as error:  # noqa: BLE001 - see above
            put(answers, "error", [str(error).encode()])


def _array(spec: dict[str, Any], content: bytes) -> Array:
    return np.frombuffer(content, np.dtype(spec["dtype"])).reshape(spec["shape"])


def put(stream: BinaryIO, word: str, parts: list[bytes]) -> None:
    """Write a line and some byte strings."""
    stream.write(f"{word} {len(parts)}\n".encode())
    stream.writelines(struct.pack("<Q", len(part)) + part for part in parts)
    stream.flush()


def take(stream: BinaryIO) -> bytes:
    """Return the next byte string."""
    return stream.read(struct.unpack("<Q", stream.read(8))[0])


if __name__ == "__main__":
    main()
