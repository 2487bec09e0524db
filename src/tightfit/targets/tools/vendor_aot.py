"""Compilers of vendors behind LiteRT's compiler plugins, as judges: Qualcomm, MediaTek, Google, Samsung.

LiteRT's ``apply_plugin_main`` has a plugin compile the ops that it takes into ``DISPATCH_OP``s; what is left
in the file it writes runs on the CPU. The plugins come with ai-edge-litert, the vendor's own compiler with a
package that its terms bind to the user: nothing is downloaded here.

Source: ``ai_edge_litert/aot/core/apply_plugin.py`` and ``aot/vendors`` of LiteRT 2.3.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.child.process import last_line, run_tool
from tightfit.runtime.native.c_api import package_folder
from tightfit.scratch import scratch_folder
from tightfit.targets.profile import Target
from tightfit.targets.tools.tool_result import ToolResult
from tightfit.types import Array

_LIMIT_S: Final = 600.0
_SELECTED: Final = re.compile(
    r"Partitioned subgraph<0>, selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions"
)


@dataclass(frozen=True)
class Vendor:
    """A vendor with a compiler plugin in LiteRT.

    Args:
        title: for people.
        module: Python module of its SDK, which gives the folder of its libraries.
        package: what ``pip`` installs it by.
        manufacturer: as the plugin names it.
        folder: of the plugin, below ``vendors`` of the runtime.
        chip: that files are compiled for unless the target names one.
        flags: more words for LiteRT's tool.
    """

    title: str
    module: str
    package: str
    manufacturer: str
    folder: str
    chip: str
    flags: tuple[str, ...] = ()

    def available(self) -> str:
        """Return "" when the compiler can run here, else what is missing."""
        if not (package_folder() / "tools" / "apply_plugin_main").is_file():
            return "This build of ai-edge-litert has no compiler plugins; they come with the one for Linux."
        if importlib.util.find_spec(self.module) is None:
            return (
                f"{self.title}'s SDK is not installed; received no package '{self.package}'. Install it "
                f"with: pip install {self.package}, which downloads it from {self.title} under its terms."
            )
        return ""

    def run(self, model: Model, target: Target, inputs: Sequence[Array] | None = None) -> ToolResult:
        """Return which ops the vendor's compiler takes; its values are not read here.

        Raises:
            OptionError: the SDK is missing. RuntimeFailureError: the compiler does not end.
        """
        del inputs
        if missing := self.available():
            raise OptionError(missing)
        libraries = str(importlib.import_module(self.module).path_to_sdk_libs())
        chip = str(target.details.get("chip", self.chip))
        return compiled(model, self, chip, libraries)


def compiled(model: Model, vendor: Vendor, chip: str, libraries: str) -> ToolResult:
    """Return what a plugin takes of a model.

    Args:
        model: the model.
        vendor: whose plugin.
        chip: that it compiles for.
        libraries: folders with the vendor's libraries, separated by colons.

    Raises:
        RuntimeFailureError: the compiler does not end.
    """
    tool = f"{vendor.title}'s compiler for {chip}"
    with scratch_folder() as folder:
        (folder / "in.tflite").write_bytes(serialize(model))
        code, said = _apply(vendor, chip, libraries, folder)
        if code != 0 or not (folder / "out.tflite").is_file():
            return ToolResult(tool, refused=f"{tool} refuses the file: {_why(said, code)}", pieces=0)
        left = read_model((folder / "out.tflite").read_bytes())
    kept = {t.name for op in left.main.ops if op.kind != "CUSTOM" for t in op.outputs}
    taken = frozenset((0, i) for i, op in enumerate(model.main.ops) if not _names(op.outputs) & kept)
    found = _SELECTED.search(said)
    pieces = int(found[3]) if found else len(left.main.ops) - sum(op.kind != "CUSTOM" for op in left.main.ops)
    words = f"{tool}: it takes {len(taken)} of {len(model.main.ops)} ops in {pieces} pieces."
    return ToolResult(tool, accelerated=taken, pieces=pieces, sentences=(words,), details={"chip": chip})


def _why(said: str, code: int) -> str:
    """The first line of an error, else the last one that is no greeting."""
    errors = [line.partition("] ")[2] for line in said.splitlines() if line.startswith("ERROR:")]
    return next(filter(None, errors), last_line(said, ("INFO:",))) or f"it ended with {code}"


def _names(tensors: Sequence[object]) -> set[str]:
    return {str(getattr(t, "name", "")) for t in tensors}


def _apply(vendor: Vendor, chip: str, libraries: str, folder: Path) -> tuple[int, str]:
    """Run LiteRT's tool on ``in.tflite`` of a folder; gives its exit code and what it said."""
    runtime = package_folder()
    plugins = runtime / "vendors" / vendor.folder / "compiler"
    own = [str(place) for place in (runtime, plugins) if place.is_dir()]
    search = os.pathsep.join(filter(None, [libraries, *own, os.environ.get("LD_LIBRARY_PATH", "")]))
    words = [
        "env", f"LD_LIBRARY_PATH={search}", str(runtime / "tools" / "apply_plugin_main"), "--cmd=apply",
        f"--model={folder / 'in.tflite'}", f"--o={folder / 'out.tflite'}", "--err=--",
        f"--soc_manufacturer={vendor.manufacturer}", f"--soc_model={chip}", f"--libs={plugins}",
        *vendor.flags,
    ]  # fmt: skip
    try:
        return run_tool(words, _LIMIT_S, folder)
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(
            f"{vendor.title}'s compiler did not end within {_LIMIT_S:.0f} s."
        ) from error


def _vendor(title: str, word: str, manufacturer: str, chip: str) -> Vendor:
    module = f"ai_edge_litert_sdk_{word}"
    return Vendor(title, module, module.replace("_", "-"), manufacturer, word, chip)


VENDORS: Final = {
    "aot-qualcomm": _vendor("Qualcomm", "qualcomm", "Qualcomm", "SM8750"),
    "aot-mediatek": _vendor("MediaTek", "mediatek", "MediaTek", "MT6991"),
    "aot-google-tensor": _vendor("Google", "google_tensor", "Google", "Tensor_G5"),
    "aot-samsung": _vendor("Samsung", "samsung", "Samsung", "E9965"),
}
"""Name in ``profiles.toml`` → the vendor."""
