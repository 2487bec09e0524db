"""The verb ``deploy``: from a model to the sources of an application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tightfit.compression.decoding.decode_ops import FORMS
from tightfit.conversion.open_model import open_model
from tightfit.deployment.c_project import source_names
from tightfit.deployment.deployed_files import REPORT, refuse_other_files
from tightfit.deployment.deployment import Deployment
from tightfit.deployment.host_build import named_sources
from tightfit.deployment.micro_deployment import TOOL, DeployOptions, deploy_micro
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.kinds import ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.spoken import verb
from tightfit.targets.profile import find_target

ALL: Final = "smallest"
"""The choice of every form: each constant gets the smallest."""


@verb()
def deploy(
    model: ModelLike,
    output: Pathlike,
    target: str = "micro",
    *,
    compress: str | Sequence[str] = (),
    name: str = "model",
    sources: Pathlike | None = None,
) -> Deployment:
    """Write the sources of an application for a microcontroller, and return what was measured.

    The folder holds the model as a C array, the ops to register, the arena that tflite-micro needs, scales
    and zero points, a test vector, a runner, an example ``main`` and a Makefile.

    Args:
        model: a model that tflite-micro runs, such as an int8 file.
        output: a folder: new, empty, or of an earlier deployment.
        target: ``micro`` or a board.
        compress: forms of constants that DECODE expands: ``lookup``, ``pruned``, ``huffman``, or
            ``smallest`` for all of them; none leaves constants as they are.
        name: prefix of files and identifiers.
        sources: folder of tflite-micro's sources: the example is compiled with them and run.

    Returns:
        the files that were written, and what the compiled example measured where it was compiled.

    Raises:
        OptionError: an option is unknown, or tflite-micro is not installed.
        ModelError: tflite-micro does not run the model. RuntimeFailureError: outputs differ.

    Example:
        ``tightfit.deploy("model.tflite", "project")``
    """
    device = find_target(target)
    if device.family.tool != TOOL:
        raise OptionError(
            f"deploy writes sources for microcontrollers; received the target '{target}'. "
            "Use 'micro' or a board."
        )
    chosen = (compress,) if isinstance(compress, str) else tuple(compress)
    forms = tuple(FORMS) if ALL in chosen else chosen
    folder = named_sources(None if sources is None else Path(sources))
    options = DeployOptions(forms, name, folder)
    names = (*source_names(name), f"{name}.tflite", REPORT)
    check_paths({"model": model}, {f"The result {each},": Path(output) / each for each in names})
    refuse_other_files(Path(output), name)
    path = open_model(model)
    return deploy_micro(read_model(path), path.stat().st_size, device, Path(output), options)
