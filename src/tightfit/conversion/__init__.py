"""Models of other frameworks become float ``.tflite`` files: one file a framework, imported when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.conversion.load_model import load as load
else:
    __getattr__ = late(__name__, {"load": "load_model"})
