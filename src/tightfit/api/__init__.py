"""The library's verbs, one for each command: they put the parts together and print nothing.

Example:
    >>> import tightfit
    >>> {"benchmark", "evaluate", "inspect", "optimize", "quantize"} <= set(tightfit.__all__)
    True
"""
