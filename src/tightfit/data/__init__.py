"""What a model is calibrated, trained and evaluated with: samples from files, folders and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.data.sources import check_data as check_data
else:
    __getattr__ = late(__name__, {"check_data": "sources"})
