"""The main job on the embedded demo: a Fashion-MNIST classifier, 1,000 images to calibrate, 500 to evaluate.

The same as this command, with the package's own files:

    tightfit optimize MODEL --data tightfit.demo:evaluation --calibration-data tightfit.demo:calibration \\
        --max-drop 0.01 -o demo-out
"""

from __future__ import annotations

import argparse
import sys

from tightfit.cli.app import app
from tightfit.demo import MODEL


def main() -> int:
    """Runs the command and gives its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="demo-out", help="folder for the results")
    output = parser.parse_args().output
    words = ["optimize", str(MODEL), "--data", "tightfit.demo:evaluation", "--max-drop", "0.01", "-o", output]
    words += ["--calibration-data", "tightfit.demo:calibration"]
    return int(app.main(words, standalone_mode=False) or 0)


if __name__ == "__main__":
    sys.exit(main())
