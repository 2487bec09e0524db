"""The child's end of the two pipes: reads requests, has a handler dispatch them, writes replies.

A request is ``(verb, arguments)``: a method of the handler and its keyword arguments. A reply is ``(status,
value)`` with status ``done``, ``refused`` (LiteRT's own sentence), ``data`` (the sample does not fit) or
``failed`` (something that is not LiteRT's fault). Imports little: its start-up time is paid for each model.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

_LOG_LIMIT_BYTES = 1 << 20
_BUFFER_BYTES = 1 << 20


class DataMismatchError(Exception):
    """A sample has a shape that the model cannot take."""


class ObserverError(Exception):
    """An observer raised, or kept the runtime's memory."""


def sentence(error: BaseException) -> str:
    """An error of LiteRT on one line, with a full stop."""
    text = " ".join(str(error).replace("Node number", " Node number").split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else text + "."


def serve(make_handler: Callable[[], object]) -> None:
    """Answer requests on the pairs of file descriptors of the command line until their other ends close.

    Each pair has a handler and a thread of its own; LiteRT and NumPy let threads run side by side.
    """
    ends = [[int(fd) for fd in argument.split(",")] for argument in sys.argv[1:3]]
    threads = [
        threading.Thread(target=_serve_one, args=(make_handler(), *pair)) for pair in zip(*ends, strict=True)
    ]
    for thread in threads[1:]:
        thread.start()
    threads[0].run()
    for thread in threads[1:]:
        thread.join()


def _serve_one(handler: object, reads: int, writes: int) -> None:
    with os.fdopen(reads, "rb", _BUFFER_BYTES) as requests, os.fdopen(writes, "wb", _BUFFER_BYTES) as replies:
        for frame in _frames(requests):
            body = _answer(handler, frame)
            replies.write(struct.pack("<Q", len(body)) + body)
            replies.flush()
            _bound_log()


def _frames(stream: BinaryIO) -> Iterator[bytes]:
    while len(head := stream.read(8)) == 8:
        yield stream.read(struct.unpack("<Q", head)[0])


def _answer(handler: object, frame: bytes) -> bytes:
    try:
        verb, arguments = pickle.loads(frame)  # noqa: S301 - from our own parent, over a private pipe
        return pickle.dumps(_obey(handler, verb, arguments), protocol=5)
    except Exception as error:  # noqa: BLE001 - the class of an observer may not be importable here
        return pickle.dumps(("failed", f"The child process cannot take or give this: {sentence(error)}"))


def _obey(handler: object, verb: str, arguments: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "done", getattr(handler, verb)(**arguments)
    except DataMismatchError as error:
        return "data", str(error)
    except ObserverError as error:
        return "failed", str(error)
    except Exception as error:  # noqa: BLE001 - whatever LiteRT raises goes to the parent as its sentence
        return "refused", sentence(error)


def _bound_log() -> None:
    """Empties the file behind stderr when it has grown large, so that a chatty kernel cannot fill a disk."""
    if os.fstat(2).st_size > _LOG_LIMIT_BYTES:
        os.ftruncate(2, 0)
