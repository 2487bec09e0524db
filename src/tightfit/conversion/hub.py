"""Models on the Hugging Face hub: ``hf://owner/name/file[@revision]``, from the cache where it has them."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, OptionError, TightfitError, first_line, printable
from tightfit.units import format_bytes

_REFERENCE: Final = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)/([^@]+?)(?:@([\w./-]+))?")
_PREFIX: Final = re.compile(r"hf:/")
_LONGEST: Final = 256
"""Characters of a name on the hub at most."""


def is_hub_reference(source: object) -> bool:
    """Return whether a model is named by its place on the hub.

    Example:
        >>> is_hub_reference("hf://owner/name/model.tflite"), is_hub_reference("model.tflite")
        (True, False)
    """
    return isinstance(source, str | os.PathLike) and _PREFIX.match(os.fspath(source)) is not None


def fetch(source: object) -> Path:
    """Return the file of a reference, downloaded by ``huggingface_hub`` or from its cache.

    With ``HF_HUB_OFFLINE=1`` only the cache is read. Nothing is unpickled: a file is converted as any other.

    Args:
        source: ``hf://owner/name/file``, with ``@revision`` for another one than ``main``.

    Raises:
        OptionError: ``huggingface_hub`` is missing, or the reference has another form.
        ModelError: the file is not there, does not fit the disk, or cannot be downloaded.
    """
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else str(source)
    text = re.sub(r"^hf:/(?!/)", "hf://", text)  # a path on the command line has one slash fewer
    match = _REFERENCE.fullmatch(text)
    if match is None or not all(map(_is_inside, match.groups(""))):
        raise OptionError(
            f"Received the model '{printable(text, 80)}'; expected hf://owner/name/file or …/file@revision."
        )
    if find_spec("huggingface_hub") is None:
        raise OptionError(f"'{text}' needs huggingface_hub: pip install huggingface_hub.")
    import huggingface_hub as hub  # noqa: PLC0415 - only a reference needs it
    import huggingface_hub.constants  # noqa: PLC0415 - the same

    repository, file, revision = match.groups()
    try:
        if not isinstance(hub.try_to_load_from_cache(repository, file, revision=revision), str):
            _refuse_larger_than_disk(hub, text, hub.hf_hub_url(repository, file, revision=revision))
        return Path(hub.hf_hub_download(repository, file, revision=revision))
    except TightfitError:
        raise
    except Exception as error:
        raise ModelError(
            f"'{printable(text, 80)}' is not in the cache and cannot be downloaded: {first_line(error)}"
        ) from error


def _is_inside(name: str) -> bool:
    """False for a name that would leave its folder, on this system or another, or that a terminal obeys."""
    return name.isprintable() and len(name) < _LONGEST and not {".", ".."} & set(re.split(r"[/\\]", name))


def _refuse_larger_than_disk(hub: Any, text: str, url: str) -> None:
    """Refuse a file for which the disk of the cache has no room, before any of it is read.

    Raises:
        ModelError: names both sizes.
    """
    folder = Path(hub.constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    size, free = hub.get_hf_file_metadata(url).size or 0, shutil.disk_usage(folder).free
    if size > free:
        raise ModelError(
            f"'{text}' has {format_bytes(size)}, but '{folder}' has room for {format_bytes(free)}; free some "
            "or set HF_HUB_CACHE."
        )
