"""The library's verbs, one for each command: they put the parts together and print nothing.

Example:
    >>> import tightfit
    >>> {"benchmark", "evaluate", "inspect", "optimize", "quantize"} <= set(tightfit.__all__)
    True
"""

from tightfit.api.parameters import early_checks as early_checks  # every verb refuses by it
