"""``python -m tightfit``."""

import os
import sys

# Python puts the working folder first here; what lies there is not ours to run (see data/user_code.py).
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - pathlib is not loaded yet
    del sys.path[0]

from tightfit.cli import main

main()
