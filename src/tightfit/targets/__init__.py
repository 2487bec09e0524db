"""What devices take: profiles, verdicts op by op, the compilers that prove them, and fixes.

These functions are imported when a target is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightfit.late import late

if TYPE_CHECKING:
    from tightfit.targets.placement import check as check
    from tightfit.targets.placement import takes as takes
    from tightfit.targets.profile import find_target as find_target
    from tightfit.targets.target_planning import allowed_on as allowed_on
    from tightfit.targets.target_planning import overrides_for as overrides_for
    from tightfit.targets.target_planning import rewrites_for as rewrites_for
    from tightfit.targets.target_planning import scheme_for as scheme_for
    from tightfit.targets.tools.tool_table import require_tool as require_tool
else:
    _PLACES = {
        **dict.fromkeys(("check", "takes"), "placement"),
        "find_target": "profile",
        **dict.fromkeys(("allowed_on", "overrides_for", "rewrites_for", "scheme_for"), "target_planning"),
        "require_tool": "tools.tool_table",
    }
    __getattr__ = late(__name__, _PLACES)
