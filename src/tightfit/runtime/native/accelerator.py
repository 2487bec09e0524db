"""A model on an accelerator of LiteRT, in a child process of its own: what it answers and what it logs.

Some legal files end the process of an accelerator while it loads them. The child takes that harm; the parent
gets a ``RuntimeFailureError`` like for any refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tightfit.errors import RuntimeFailureError
from tightfit.runtime.child.child_process import Child
from tightfit.types import Array

_LIMIT_S = 300.0


class AcceleratorProcess:
    """A child process that compiles one file, as often as asked. It ends with the ``with`` block.

    Args:
        environment: variables of the child beside the parent's.
        folders: environment option of LiteRT (``c_api``) → folder with libraries.
        limit_s: seconds for each request.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        folders: Mapping[int, str] | None = None,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._limit_s, self._folders = limit_s, dict(folders or {})
        self._child = Child("native.accelerator_worker", environment)
        self._read = 0

    def compile(
        self,
        path: str | Path,
        accelerators: Sequence[str],
        *,
        signature: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Compile a file; a later call of ``run`` uses the last one.

        Args:
            path: the ``.tflite``.
            accelerators: ``gpu``, ``npu`` and ``cpu``; with ``cpu`` it takes what the others leave.
            signature: index of the signature that runs.
            options: component of LiteRT → its options as TOML.

        Raises:
            RuntimeFailureError: LiteRT refuses the file, its process ended, or the time is over.
        """
        self._ask(
            "compile", path=str(path), signature=signature, accelerators=tuple(accelerators),
            options=dict(options or {}), folders=self._folders,
        )  # fmt: skip

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for one sample, both in the signature's order; any type is taken.

        Raises:
            RuntimeFailureError: the run failed, its process ended, or the time is over.
        """
        outputs: list[Array] = self._ask("run", arrays=list(arrays))
        return outputs

    def time(self, runs: int) -> list[float]:
        """Return the milliseconds of each of some runs on the last sample, the reading of outputs included.

        Raises:
            RuntimeFailureError: see ``run``.
        """
        found: list[float] = self._ask("time", runs=runs)
        return found

    def log(self) -> str:
        """Return what the process printed since the last call."""
        text = self._child.log()
        new, self._read = text[self._read :], len(text)
        return new

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, verb: str, **arguments: Any) -> Any:
        try:
            self._child.send((verb, arguments), self._limit_s)
            status, value = self._child.receive(self._limit_s)
        except self._child.faults as fault:
            raise RuntimeFailureError(self._child.describe_exit(fault, f"an accelerator's {verb}")) from None
        if status != "done":
            raise RuntimeFailureError(f"LiteRT refused the file: {value}")
        return value
