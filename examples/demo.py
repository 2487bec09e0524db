r"""The main job on the embedded demo: a Fashion-MNIST classifier, 1,000 images to calibrate, 500 to evaluate.

The same as this command, with the package's own files:

    tightfit optimize MODEL --data tightfit.demo:evaluation --calibration-data tightfit.demo:calibration \
        --max-drop 0.01 -o demo-out
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from tightfit.cli.app import run
from tightfit.demo import MODEL


def main() -> NoReturn:
    """Runs the command and ends with its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="demo-out", help="folder for the results")
    output = parser.parse_args().output
    words = ["optimize", str(MODEL), "--data", "tightfit.demo:evaluation", "--max-drop", "0.01", "-o", output]
    words += ["--calibration-data", "tightfit.demo:calibration"]
    sys.argv = ["tightfit", *words]
    run()


if __name__ == "__main__":
    main()
