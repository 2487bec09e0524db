"""The wheel and the source archive are built, installed in an environment of their own, and used there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import tightfit
from support.places import ROOT

pytest.importorskip("build", reason="needs build: the extra 'dev'")
pytest.importorskip("hatchling", reason="needs hatchling: the extra 'dev'")
pytestmark = pytest.mark.slow
USE = """
import tightfit
from tightfit.demo import MODEL
made = tightfit.quantize(MODEL, "weight8")
assert made.path.stat().st_size < MODEL.stat().st_size / 2
report = tightfit.optimize(MODEL, "tightfit.demo:evaluation", only=["float16"], evaluation=20, calibration=10,
                           judge="estimate")
assert (report.path.parent / "report.html").read_text().startswith("<!doctype html>")
print(tightfit.__version__, tightfit.__file__)
"""


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (archive,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return archive, wheel


def test_the_archives_hold_the_package_and_nothing_else(built):
    archive, wheel = built
    version = tightfit.__version__
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {n.partition("/")[0] for n in names} == {"tightfit", f"tightfit-{version}.dist-info"}
    tree = {
        p.relative_to(ROOT / "src").as_posix()
        for p in (ROOT / "src" / "tightfit").rglob("*.*")
        if p.is_file()
    }
    assert {n for n in tree if "__pycache__" not in n} <= names, "templates, tables and py.typed are in"
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "src/tightfit/__init__.py",
        "tests/test_packaging.py",
    } <= held
    assert not any(Path(n).parts[:1] in [(".venv",), ("demo-out",), ("dist",), ("site",)] for n in held)


@pytest.mark.parametrize("kind", [0, 1], ids=["sdist", "wheel"])
def test_an_installed_archive_works(built, tmp_path, kind):
    venv.create(tmp_path / "env", with_pip=False)
    folder = "Scripts" if os.name == "nt" else "bin"
    python = tmp_path / "env" / folder / "python"
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--no-index"]
    beside = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")} if kind == 0 else None
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, built[kind], env=beside)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    said = run(python, "-c", USE, cwd=tmp_path, env=clean).strip().splitlines()[-1]
    version, place = said.split(" ", 1)
    assert version == tightfit.__version__
    assert Path(place).is_relative_to(tmp_path)
    assert run(python.with_name("tightfit"), "--version", cwd=tmp_path, env=clean).strip().endswith(version)


def docker_runs():
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
    )


def test_the_image_is_built_and_runs():
    if not docker_runs():
        pytest.skip("needs a running Docker daemon")
    run("docker", "build", "--tag", "tightfit-test", ROOT)
    assert "optimize" in run("docker", "run", "--rm", "tightfit-test", "--help")
