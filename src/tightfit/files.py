"""Write files whole or not at all: in the same folder under another name, then renamed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, OptionError, RuntimeFailureError
from tightfit.paths import identity, refuse_irregular
from tightfit.scratch import BESIDE, scratch_file, scratch_folder, sweep
from tightfit.watched import refuse_changed

_TRIAL_FOLDER: Final = re.compile(rf"[^\s'\"]*{re.escape(BESIDE)}[^/\\]*[/\\]")


@contextlib.contextmanager
def checked_write(output: Path) -> Iterator[Path]:
    """Yield a trial path beside the output; rename the file there to the output when the block ends well.

    Write and check the trial file inside of the block: a file that fails its check never has the output's
    name. The folder of the trial path may contain more files; it is removed at the end.

    Args:
        output: the file to write; its folder is made where it is missing.

    Raises:
        ModelError: the folder cannot be written; or the block raised it, with the output's name in place of
            the trial path; or a file that the verb reads changed meanwhile.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        refuse_irregular(output)
        sweep(output.parent)
        with scratch_folder(output.parent) as folder:
            trial = folder / output.name
            yield trial
            refuse_changed()
            trial.replace(output)
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {_reason(error)}. Choose a writable place.") from error
    except (ModelError, RuntimeFailureError) as error:
        # The user knows the name of the output, not of the trial file.
        error.args = (_TRIAL_FOLDER.sub("", str(error)),)
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Any]:
    """Yield a binary file that becomes ``path`` when the block ends well, and is removed otherwise.

    Raises:
        ModelError: the folder is missing or read-only, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_irregular(path)
        temporary, handle = scratch_file(path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            # It was made private; the result gets what open() would have given.
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
            temporary.replace(path)
            temporary = None
    except OSError as error:
        raise ModelError(f"Cannot write '{path}': {_reason(error)}. Choose a writable place.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def refuse_input_as_output(output: Path, model: Path) -> None:
    """Check that an output is not the model that is read.

    Raises:
        OptionError: both are the same file.
    """
    if identity(output) == identity(model):
        raise OptionError(
            f"The output '{output}' is the model itself, which is never changed; name another file."
        )


def _reason(error: OSError) -> str | None:
    return f"Not a folder: '{error.filename}'" if isinstance(error, FileExistsError) else error.strerror
