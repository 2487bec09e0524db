"""What options alone tell is refused before a model is converted and before a framework is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from support import early_refusals
from support.places import ROOT
from tightfit.cli.options.command_group import COMMANDS
from tightfit.demo import MODEL


def test_every_command_refuses_wrong_options_before_frameworks_load(tmp_path):
    assert set(early_refusals.USES) == set(COMMANDS)
    (tmp_path / "net.keras").write_bytes((ROOT / "examples" / "demo.keras").read_bytes())
    (tmp_path / "q.tflite").write_bytes(MODEL.read_bytes())
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 28, 28, 1), np.float32))
    (tmp_path / "folder").mkdir()
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps({"candidates": []}))
    command = [sys.executable, early_refusals.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *wrong, last = done.stdout.splitlines()
    assert wrong == []
    assert last.endswith("loaded: []")
    assert int(last.split()[0]) > 400
