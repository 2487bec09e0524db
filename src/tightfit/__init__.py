"""Makes a trained model fit its device: smaller, faster, still accurate, with proof.

One verb for each command of the ``tightfit`` command line; each is loaded when it is first used, so that
``import tightfit`` loads neither Keras nor LiteRT.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_VERBS = {
    **dict.fromkeys(("benchmark", "evaluate", "inspect"), "tightfit.verbs.measure"),
    "optimize": "tightfit.verbs.optimize",
    "quantize": "tightfit.verbs.quantize",
    **dict.fromkeys(("diff", "verify"), "tightfit.verbs.provenance"),
    **dict.fromkeys(("advise", "check", "models"), "tightfit.verbs.targets"),
    "load": "tightfit.convert.conversion",
    "finetune": "tightfit.verbs.finetune",
    "simulate": "tightfit.verbs.simulate",
    **dict.fromkeys(("cluster", "prune"), "tightfit.verbs.shrink"),
    **dict.fromkeys(("channel_groups", "prune_channels"), "tightfit.verbs.channels"),
}

__all__ = ["__version__", *_VERBS]  # noqa: PLE0604 - the verbs are named once


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(import_module(_VERBS[name]), name)
    raise AttributeError(f"module 'tightfit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
