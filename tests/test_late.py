"""Names that packages import when they are first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from support.places import SRC

LATE = {
    "tightfit.api.parameters": ("CalibrationSamples",),
    "tightfit.conversion": ("load",),
    "tightfit.data": ("check_data",),
    "tightfit.diagnosis.doctor": ("quick_check",),
    "tightfit.recovery": ("HeldOutNoise", "improve", "mend", "mend_inputs"),
    "tightfit.targets": (
        "allowed_on", "check", "find_target", "overrides_for", "require_tool", "rewrites_for", "scheme_for",
    ),
}  # fmt: skip
NAMES = [(package, name) for package, names in LATE.items() for name in names]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_late_name_is_found_and_is_no_module(package, name):
    assert callable(getattr(import_module(package), name))
    assert f"{package}.{name}" not in sys.modules


def test_another_name_is_missing_as_in_any_module():
    with pytest.raises(AttributeError, match=r"module 'tightfit\.targets' has no attribute 'nothing'"):
        import_module("tightfit.targets").nothing  # noqa: B018 - it is looked up


def test_quantize_without_data_and_target_loads_no_recovery_target_doctor_converter_or_data_reader(tmp_path):
    code = (
        "import sys; import tightfit; from tightfit.demo import MODEL\n"
        "tightfit.quantize(str(MODEL), 'float16', sys.argv[1])\n"
        "print(*(name for name in sys.modules if name.startswith('tightfit.')))\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "q.tflite")]
    done = subprocess.run(words, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    for name in (
        "recovery.slices.remedy", "recovery.automatic.improve", "targets.profile", "data.sources",
        "diagnosis.doctor.notes", "conversion.load_model", "training.network",
    ):  # fmt: skip
        assert f"tightfit.{name}" not in loaded
