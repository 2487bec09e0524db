"""Models on the Hugging Face hub: ``hf://owner/name/file[@revision]``, from the cache where it has them."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tightfit.errors import ModelError, OptionError, first_line

_REFERENCE: Final = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)/([^@]+?)(?:@([\w./-]+))?")
_PREFIX: Final = re.compile(r"hf:/")


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
        ModelError: the file is not there, or cannot be downloaded.
    """
    text = os.fspath(source) if isinstance(source, str | os.PathLike) else str(source)
    match = _REFERENCE.fullmatch(text)
    if match is None:
        given = re.sub(r"^hf:/(?!/)", "hf://", text)  # a path on the command line has one slash fewer
        raise OptionError(f"Received the model '{given}'; expected hf://owner/name/file or …/file@revision.")
    if find_spec("huggingface_hub") is None:
        raise OptionError(f"'{text}' needs huggingface_hub: pip install huggingface_hub.")
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - only a reference needs it

    repository, file, revision = match.groups()
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:
        raise ModelError(
            f"'{text}' is not in the cache and cannot be downloaded: {first_line(error)}"
        ) from error
