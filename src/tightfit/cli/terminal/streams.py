r"""Standard output and error, safe for any text and any state that the command was started in.

- Descriptors 0 to 2 that were closed become ``/dev/null``: else the next file that is opened takes their
  number, and what a library prints goes into it.
- Control characters of names in hostile files never reach a terminal; of escapes only those that set colours
  and move within the line pass, to a terminal.
- What the stream's encoding lacks is written as an escape that JSON reads back: ``\u20ac``.
- ``--json``: the answer alone goes to standard output; what user code, libraries or child processes print
  there goes to standard error.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
from typing import Final

from tightfit.errors import printable

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""
_AS_JSON: Final = "tightfit-json"
_ESCAPE: Final = re.compile(r"(\x1b\[[0-9;?]*[A-KSTfhlm]|[\n\r\t])")


class SafeStream(io.TextIOBase):
    """A text stream over a file descriptor that writes nothing but text.

    Args:
        descriptor: where to write.
        encoding: of the text.
        exact: True leaves what no terminal shows as it is.
    """

    def __init__(self, descriptor: int, encoding: str, *, exact: bool = False) -> None:
        self._exact = exact and not os.isatty(descriptor)
        self._descriptor = descriptor
        self._encoding = encoding
        self._terminal = os.isatty(descriptor)
        self.broken: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed declares an attribute
        """The encoding of the text."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override] # typeshed declares an attribute
        """How characters that the encoding lacks are written."""
        return _AS_JSON

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True for a terminal."""
        return self._terminal

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write the text without control characters; after a failure nothing more is written."""
        if self.broken is None:
            data = memoryview(self._clean(text).encode(self._encoding, _AS_JSON))
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError as error:
                self.broken = error
        return len(text)

    def _clean(self, text: str) -> str:
        if self._exact:
            return text
        parts = _ESCAPE.split(text)
        kept = [p if i % 2 and (self._terminal or len(p) == 1) else _plain(p) for i, p in enumerate(parts)]
        return "".join(kept)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that cannot be encoded: UTF-16 units as JSON escapes them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)), error.end


codecs.register_error(_AS_JSON, _escaped)


def _plain(text: str) -> str:
    return "" if text.startswith("\x1b[") and _ESCAPE.fullmatch(text) else printable(text)


def prepare(*, answer_alone: bool) -> None:
    """Puts safe streams in the place of ``sys.stdout`` and ``sys.stderr``.

    Args:
        answer_alone: True where nothing but the answer may go to standard output (``--json``).
    """
    _fill_closed()
    out = _encoding(sys.stdout), _encoding(sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    answers = 1
    if answer_alone:
        answers = os.dup(1)
        os.dup2(2, 1)
    sys.stdout = SafeStream(answers, out[0], exact=answer_alone)
    sys.stderr = SafeStream(2, out[1])
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the descriptor that was filled


def failure() -> OSError | None:
    """Return why standard output could not be written, None when it was; a reader who left is no failure."""
    broken = getattr(sys.stdout, "broken", None)
    return None if isinstance(broken, BrokenPipeError) else broken


def _fill_closed() -> None:
    """Opens ``/dev/null`` for each of the descriptors 0 to 2 that is closed."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)


def _encoding(stream: object) -> str:
    return str(getattr(stream, "encoding", None) or "utf-8")
