"""Compile the sources of a deployment on this computer, and run the example where tflite-micro's sources are.

Without them, the C sources are compiled to syntax; the runner in C++ needs the headers of tflite-micro.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.deployment.c_project import C_SOURCES, RUNNER, file_name
from tightfit.errors import OptionError
from tightfit.runtime.child import process
from tightfit.runtime.child.memory import memory_limit
from tightfit.runtime.child.sandbox import is_wanted
from tightfit.scratch import scratch_folder

VARIABLE: Final = "TIGHTFIT_TFLITE_MICRO"
"""Environment variable with the folder of tflite-micro's sources."""
_WARNINGS: Final = ("-Wall", "-Wextra", "-Werror")
_C: Final = ("cc", "-std=c11", *_WARNINGS)
_CXX: Final = ("c++", "-std=c++17", "-fno-rtti", "-fno-exceptions", "-DTF_LITE_STATIC_MEMORY")
_LIBRARY: Final = "gen/*/lib/libtensorflow-microlite.a"
_HEADER: Final = "tensorflow/lite/micro/micro_interpreter.h"
_THIRD_PARTY: Final = ("flatbuffers/include", "gemmlowp", "ruy", "kissfft")
_PLACES: Final = ("third_party", "tensorflow/lite/micro/tools/make/downloads")
_SOURCES: Final = (
    "tensorflow/lite/micro", "tensorflow/lite/micro/arena_allocator", "tensorflow/lite/micro/memory_planner",
    "tensorflow/lite/micro/tflite_bridge", "tensorflow/lite/micro/kernels", "tensorflow/lite/kernels",
    "tensorflow/lite/kernels/internal", "tensorflow/lite/kernels/internal/reference",
    "tensorflow/lite/core/c", "tensorflow/lite/core/api", "tensorflow/compiler/mlir/lite/core/api",
    "tensorflow/compiler/mlir/lite/schema",
)  # fmt: skip
_NOT_BUILT: Final = re.compile(r"(_test|test_common|^test_|^mock_|^fake_|kernel_runner)")
_TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class HostBuild:
    """What was compiled and run on this computer.

    Args:
        compiled: names of the files that were compiled with -Wall -Wextra -Werror.
        ran: the example ran and its outputs are those of the test vector.
        failed: a compiler refused a file, or the example gave other outputs.
        said: what the example printed, or why something was not compiled or run; sentences.
    """

    compiled: tuple[str, ...] = ()
    ran: bool = False
    failed: bool = False
    said: tuple[str, ...] = ()


class BuildError(Exception):
    """A compiler refused a file; the message has its first words."""


def build(folder: Path, name: str, sources: Path | None) -> HostBuild:
    """Return what a C compiler makes of a deployment.

    Args:
        folder: with the sources of ``c_project``.
        name: their prefix.
        sources: tflite-micro's sources, with their third-party headers; None for syntax only.
    """
    if shutil.which("cc") is None:
        return HostBuild(said=("No C compiler was found on this computer, so nothing was compiled.",))
    if sources is None:
        return _syntax(folder, name)
    with scratch_folder() as objects:
        try:
            return _run(folder, name, sources, objects)
        except BuildError as error:
            return HostBuild(failed=True, said=(f"The example was not built: {error}",))


def named_sources(given: Path | None) -> Path | None:
    """Return the folder of tflite-micro's sources: the one given, else the one of the variable, else None.

    Raises:
        OptionError: the folder holds no tflite-micro.
    """
    named = os.environ.get(VARIABLE, "")
    sources = given if given is not None else Path(named) if named else None
    if sources is not None and not (sources / _HEADER).is_file():
        raise OptionError(f"Received '{sources}' as tflite-micro's sources; expected '{_HEADER}' in it.")
    return sources


def _syntax(folder: Path, name: str) -> HostBuild:
    compiled, said = [], []
    for template in C_SOURCES:
        file = file_name(template, name)
        try:
            _compile([*_C, "-fsyntax-only", file], folder)
            compiled.append(file)
        except BuildError as error:
            said.append(f"{file} was not compiled: {error}")
    failed = bool(said)
    said.append(
        f"{file_name(RUNNER, name)} was not compiled: it needs the headers of tflite-micro "
        f"(--sources FOLDER, or {VARIABLE})."
    )
    return HostBuild(tuple(compiled), failed=failed, said=tuple(said))


def _run(folder: Path, name: str, sources: Path, objects: Path) -> HostBuild:
    files = [file_name(template, name) for template in (*C_SOURCES, RUNNER)]
    includes = [f"-isystem{path}" for path in _includes(sources)]
    own = []
    for file in files:
        compiler = [*_C] if file.endswith(".c") else [*_CXX, *_WARNINGS, *includes]
        own.append(str(objects / f"{file}.o"))
        _compile([*compiler, "-c", file, "-o", own[-1]], folder)
    library = _library(sources, objects, (folder / file_name("model_ops.h", name)).read_text())
    _compile(["c++", *own, *library, "-Wl,--gc-sections", "-lm", "-o", str(objects / "example")], folder)
    confinement = process.Confinement(
        memory_limit(), sandbox=is_wanted(), dies_with_parent=process.from_main_thread()
    )
    example = process.command("tightfit.deployment.example_worker", [str(objects / "example")], confinement)
    code, said = process.run_tool(example, _TIMEOUT_S, objects)
    lines = tuple(line for line in said.splitlines() if line)
    end = () if code == 0 else (f"The example {process.describe_exit(code)}.",)
    return HostBuild(tuple(files), ran=code == 0, failed=code != 0, said=(*lines[-4:], *end))


def _library(sources: Path, objects: Path, ops: str) -> list[str]:
    """The library of tflite-micro's own Makefile, else objects of what these ops need."""
    built = sorted(sources.glob(_LIBRARY))
    if built:
        return [str(built[0])]
    needed = {m.removeprefix("resolver.Add").lower() for m in re.findall(r"resolver\.Add\w+", ops)}
    files = [f for f in _files(sources) if _is_needed(f, needed)]
    includes = [f"-I{path}" for path in _includes(sources)]
    made = [str(objects / (str(f.relative_to(sources)).replace("/", "_") + ".o")) for f in files]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = [
            [*_CXX, *includes, "-O1", "-c", str(f), "-o", o] for f, o in zip(files, made, strict=True)
        ]
        list(pool.map(lambda command: _compile(command, sources), commands))
    return made


def _files(sources: Path) -> Iterable[Path]:
    for place in _SOURCES:
        yield from (f for f in sorted((sources / place).glob("*.cc")) if not _NOT_BUILT.search(f.stem))


def _is_needed(file: Path, ops: set[str]) -> bool:
    """False for the kernel of another op: it defines a ``Register_`` function, none of which is needed."""
    if file.parent.name != "kernels" or "micro" not in file.parts:
        return True
    names = re.findall(r"\bRegister_(\w+)\(\)\s*\{", file.read_text(encoding="utf-8", errors="replace"))
    return not names or any(name.replace("_", "").lower() in ops for name in names)


def _includes(sources: Path) -> list[Path]:
    third = [sources / place / part for place in _PLACES for part in _THIRD_PARTY]
    return [sources, *(path for path in third if path.is_dir())]


def _compile(command: Sequence[str], folder: Path) -> None:
    try:
        code, said = process.run_tool(command, _TIMEOUT_S, folder)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"the compiler did not finish within {_TIMEOUT_S} s") from error
    if code != 0:
        first = next((line for line in said.splitlines() if "error" in line), process.last_line(said))
        raise BuildError(first.strip()[:200])
