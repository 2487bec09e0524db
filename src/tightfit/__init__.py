"""Makes a trained model fit its device: smaller, faster, still accurate, with proof.

One verb for each command of the ``tightfit`` command line; each is loaded when it is first used, so that
``import tightfit`` loads neither Keras nor LiteRT.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_VERBS = {
    **dict.fromkeys(("benchmark", "evaluate", "inspect"), "tightfit.api.evaluate"),
    "optimize": "tightfit.api.optimize",
    "quantize": "tightfit.api.quantize",
    **dict.fromkeys(("diff", "sign", "verify"), "tightfit.api.verify"),
    **dict.fromkeys(("advise", "check", "models"), "tightfit.api.check"),
    "load": "tightfit.convert.conversion",
    "finetune": "tightfit.api.finetune",
    "simulate": "tightfit.api.simulate",
    **dict.fromkeys(("cluster", "prune"), "tightfit.api.prune"),
    **dict.fromkeys(("channel_groups", "prune_channels"), "tightfit.api.prune_channels"),
}

__all__ = ["__version__", *_VERBS]  # noqa: PLE0604 - the verbs are named once


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(import_module(_VERBS[name]), name)
    raise AttributeError(f"module 'tightfit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
