"""A package of a few lines adds a target, a metric, a data reader and a recovery by entry points."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from support.places import ROOT
from tightfit.graph.writer import write_model
from tightfit.plugins import entries
from tightfit.recovery.steps import RECOVERIES
from tightfit.targets.profile import targets

PACKAGE = '''
import numpy as np

BOARD = {"family": "micro", "title": "A board of the plug-in", "memory_bytes": 4096}


def least(outputs, labels):
    """The least output of each sample."""
    return [float(row.min()) for row in outputs]


def read_rows(path):
    return (row for row in np.loadtxt(path, dtype=np.float32).reshape(-1, 16, 16, 3))


def note(state):
    """Leave the model as it is."""
    state.notes.append("the plug-in was here")
'''
ENTRIES = """
[tightfit.targets]
board = plug_of_a_test:BOARD
[tightfit.metrics]
least = plug_of_a_test:least
[tightfit.data]
rows = plug_of_a_test:read_rows
[tightfit.recoveries]
note = plug_of_a_test:note
"""


def forget():
    """Have the tables read the entry points anew: a process reads them once."""
    entries.cache_clear()
    targets.cache_clear()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    place = tmp_path / "site"
    (place / "plug_of_a_test-1.0.dist-info").mkdir(parents=True)
    (place / "plug_of_a_test.py").write_text(PACKAGE)
    (place / "plug_of_a_test-1.0.dist-info" / "METADATA").write_text("Name: plug-of-a-test\nVersion: 1.0\n")
    (place / "plug_of_a_test-1.0.dist-info" / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(place))
    importlib.invalidate_caches()
    forget()
    yield
    forget()
    RECOVERIES.pop("note", None)
    sys.modules.pop("plug_of_a_test", None)


def test_the_package_is_small():
    assert len(f"{PACKAGE}{ENTRIES}".strip().splitlines()) <= 30


@pytest.mark.usefixtures("installed")
def test_each_table_has_the_row_of_the_plug_in(tmp_path):
    model, data = tmp_path / "net.tflite", tmp_path / "set.rows"
    write_model(conv_net(), model)
    rows = np.random.default_rng(0).standard_normal((12, 768))
    np.savetxt(data, rows)
    made = tightfit.quantize(model, "int8", data=str(data), recover="note", effort=0, doctor=False)
    assert "the plug-in was here" in made.notes
    measured = tightfit.evaluate([model, made.path], str(data), metric="least")
    assert list(measured[0].metrics) == ["least"]
    checked = tightfit.check(made.path, "board", compile=False)
    assert checked.verdict.memory_limit == 4096


def test_without_the_package_the_names_are_unknown(tmp_path):
    (tmp_path / "set.rows").write_text("1 2")
    with pytest.raises(tightfit.OptionError, match="Unknown metric 'least'"):
        tightfit.evaluate("a.tflite", "b.npz", metric="least")


def test_the_guide_shows_this_package():
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert all(line in page for line in ENTRIES.strip().splitlines() if line.startswith("[tightfit"))
