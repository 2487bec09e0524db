"""Where a Vulkan driver is, so that LiteRT's GPU accelerator can run: a GPU's own, or SwiftShader.

SwiftShader computes on the CPU, so any Linux machine can hold a model against the accelerator. Chromium
carries it (Debian: ``apt-get install chromium``).
"""

from __future__ import annotations

import ctypes.util
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "TIGHTFIT_VULKAN"
MISSING: Final = (
    "No Vulkan driver was found for LiteRT's GPU accelerator. Install one, for example with "
    f"'apt-get install chromium', or name a driver library or its folder in {VARIABLE}."
)
_LIBRARY: Final = "libvk_swiftshader.so"
_LOADER: Final = "libvulkan.so.1"
_BROWSERS: Final = (
    "/usr/lib/chromium", "/usr/lib/chromium-browser", "/usr/lib64/chromium-browser",
    "/opt/google/chrome", "/snap/chromium/current/usr/lib/chromium-browser",
)  # fmt: skip
_SYSTEM: Final = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
# Mesa's software driver of before version 25 lacks what the accelerator asks for.
_SOFTWARE: Final = "lvp"


@dataclass(frozen=True)
class Driver:
    """A Vulkan driver.

    Args:
        manifests: files that name the driver for the Vulkan loader; empty where the loader finds it itself.
        folder: where the loader library lies; "" where the system has one.
    """

    manifests: str
    folder: str

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process finds the driver."""
        found = {"VK_ICD_FILENAMES": self.manifests, "VK_DRIVER_FILES": self.manifests}
        if not self.manifests:
            found = {}
        if self.folder:
            before = os.environ.get("LD_LIBRARY_PATH")
            found["LD_LIBRARY_PATH"] = self.folder if not before else f"{self.folder}:{before}"
        return found


def find_driver(environment: Mapping[str, str] | None = None) -> Driver | None:
    """Return the first driver of: the user's variable, Vulkan's own variables, a GPU's, a browser's; or None.

    Args:
        environment: variables; None for those of this process.
    """
    given = os.environ if environment is None else environment
    named = given.get(VARIABLE)
    if named:
        return next(_at(Path(named)), None)
    own = given.get("VK_DRIVER_FILES") or given.get("VK_ICD_FILENAMES")
    if own:
        return Driver(own, "")
    loader = ctypes.util.find_library("vulkan")
    if loader and (found := list(_manifests())):
        return Driver(":".join(found), "")
    return next((driver for place in _BROWSERS for driver in _at(Path(place))), None)


def _manifests() -> Iterator[str]:
    for folder in _SYSTEM:
        for path in sorted(Path(folder).glob("*.json")):
            if _SOFTWARE not in path.name:
                yield str(path)


def _at(place: Path) -> Iterator[Driver]:
    """The driver at a path: a manifest, a driver library, or a folder with SwiftShader."""
    if place.suffix == ".json" and place.is_file():
        yield Driver(str(place.resolve()), _loader_folder(place.parent))
        return
    library = place / _LIBRARY if place.is_dir() else place
    if library.is_file():
        yield Driver(_manifest(str(library.resolve())), _loader_folder(library.parent))


def _loader_folder(folder: Path) -> str:
    return str(folder.resolve()) if (folder / _LOADER).exists() else ""


def _manifest(library: str) -> str:
    """A manifest that names a driver library by its full path; it lives as long as this process."""
    known = _kept.get(library)
    if known is None or not Path(known.name).is_dir():
        known = _kept[library] = tempfile.TemporaryDirectory(
            prefix="tightfit-vulkan-", ignore_cleanup_errors=True
        )
    path = Path(known.name) / "driver.json"
    content = {"file_format_version": "1.0.0", "ICD": {"library_path": library, "api_version": "1.1.0"}}
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


_kept: dict[str, tempfile.TemporaryDirectory[str]] = {}
