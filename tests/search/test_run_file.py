"""A search is repeated from its run file, and compared with an earlier report."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import tightfit
from support.models import conv_net
from tightfit.cli.app import app
from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import DataError, OptionError
from tightfit.graph.writer import write_model
from tightfit.report.gate import compare_reports
from tightfit.report.report import read_report
from tightfit.search.job import Job
from tightfit.search.run_file import command_of, image_text, read_run, run_facts, to_toml
from tightfit.search.verdict.budget import Budget

X = np.random.default_rng(0).standard_normal((24, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_model(conv_net(), folder / "net.tflite")
    np.savez(folder / "set.npz", x=X)
    words = ["optimize", str(folder / "net.tflite"), "--data", str(folder / "set.npz"), "--only", "float16"]
    words += ["--judge", "estimate", "--max-size", "7kB", "--calibration", "8", "-o", str(folder / "first")]
    assert CliRunner().invoke(app, words, standalone_mode=False).return_value == 0
    return folder


def run(*words):
    return CliRunner().invoke(app, ["optimize", *map(str, words)], standalone_mode=False)


def test_a_report_contains_what_was_asked_for(work):
    report = json.loads((work / "first" / "report.json").read_text())
    assert report["run"]["only"] == ["float16"]
    assert report["run"]["max_size"] == "7000B"
    assert "effort" not in report["run"], "a default is left out"
    text = (work / "first" / "tightfit.toml").read_text()
    assert 'data = "../set.npz"' in text
    assert str(work) not in text


def test_a_run_file_repeats_the_search_and_passes_its_own_gate(work):
    done = run("--run", work / "first" / "tightfit.toml", "-o", work / "second", "--baseline",
               work / "first" / "report.json")  # fmt: skip
    assert done.return_value == 0, done.output
    first, second = (json.loads((work / n / "report.json").read_text()) for n in ("first", "second"))
    assert [c["sha256"] for c in first["candidates"]] == [c["sha256"] for c in second["candidates"]]
    assert "| size |" in (work / "second" / "gate.md").read_text()
    assert 'failures="0"' in (work / "second" / "gate.xml").read_text()


def test_a_regression_fails_the_gate(work):
    report = json.loads((work / "first" / "report.json").read_text())
    for candidate in report["candidates"]:
        candidate["size_bytes"] //= 2
    (work / "small.json").write_text(json.dumps(report))
    done = run(
        "--run",
        work / "first" / "report.json",
        "-o",
        work / "second",
        "--baseline",
        work / "small.json",
    )
    assert done.return_value == 1
    assert "**regression**" in done.output
    shown = (work / "second" / "gate.xml").read_text()
    assert 'failures="1"' in shown
    assert '<failure message="size: ' in shown


def test_python_repeats_a_run(work):
    report = tightfit.optimize(run=work / "first" / "tightfit.toml", output=work / "second", progress=False)
    assert [c.name for c in report.candidates][1:] == ["float16"]


def test_a_wrong_run_file_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "a.toml").write_text("model = 'a.tflite'\nmax_dorp = 0.1\n")
    with pytest.raises(OptionError, match=r"'max_dorp'.*Did you mean 'max_drop'"):
        read_run(tmp_path / "a.toml")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(DataError, match="has no run"):
        read_run(tmp_path / "report.json")


def test_every_option_survives(tmp_path):
    budget = Budget(max_drop=0.02, max_latency_ratio=0.8, target="micro", target_memory=1000, confident=True)
    image = ImageOptions.parse("size=224x192,mean=123.7/116.3/103.5,std=58,layout=nhwc")
    job = Job("m:net", "d:samples", tmp_path, image, budget, seed=3, recipes=("int8",), provenance=False)
    facts = run_facts(job)
    (tmp_path / "tightfit.toml").write_text(to_toml(facts, tmp_path))
    assert read_run(tmp_path / "tightfit.toml") == facts
    assert ImageOptions.parse(image_text(image)) == image
    command = command_of(facts)
    assert command.startswith("tightfit optimize m:net --data d:samples --image size=224x192,")
    assert "--max-latency 0.8x --memory 1000B --only int8 --seed 3 --no-provenance --confident" in command


def test_a_baseline_is_never_replaced(work):
    before = (work / "first" / "report.json").read_bytes()
    done = run("--run", work / "first" / "tightfit.toml", "-o", work / "first", "--baseline",
               work / "first" / "report.json")  # fmt: skip
    assert isinstance(done.exception, OptionError)
    assert "is the baseline itself" in str(done.exception)
    assert (work / "first" / "report.json").read_bytes() == before


FUNCTIONS = {
    "data": "strange:samples", "model": "strange:net", "calibration_data": "strange:samples",
    "metric": "strange:score", "max_drop": "strange:score=0.1",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_only_a_run_file_names_do_not_run(name, work, monkeypatch):
    monkeypatch.chdir(work)
    (work / "strange.py").write_text("open('mark', 'w').close()\n")
    known = {"model": str(work / "net.tflite"), "data": str(work / "set.npz"), name: FUNCTIONS[name]}
    (work / "odd.toml").write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in known.items()))
    done = run("--run", "odd.toml", "-o", work / "third")
    assert isinstance(done.exception, OptionError)
    assert "--trust-code" in str(done.exception)
    with pytest.raises(OptionError, match="trust_code=True"):
        tightfit.optimize(run="odd.toml", output=work / "third", progress=False)
    assert not (work / "mark").exists()
    assert not (work / "third").exists()


def test_functions_run_where_they_are_spelled_or_trusted(work, monkeypatch):
    monkeypatch.chdir(work)
    (work / "run_file_data.py").write_text(
        "import numpy as np\n\n\ndef samples():\n    return iter(np.load('set.npz')['x'])\n"
    )
    known = {"model": "net.tflite", "data": "run_file_data:samples", "only": ["float16"], "calibration": 8}
    (work / "own.toml").write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in known.items()))
    for words in (("--data", "run_file_data:samples"), ("--trust-code",)):
        done = run("--run", "own.toml", *words, "-o", work / "fourth", "--effort", "quick")
        assert done.exception is None, done.output


@pytest.mark.parametrize("change", [{"size_bytes": "many"}, {"accuracy": []}, {"drop": {"a": 1}}])
def test_a_baseline_with_values_of_other_types_is_refused(change, work):
    report = json.loads((work / "first" / "report.json").read_text())
    report["candidates"][1] |= change
    (work / "odd.json").write_text(json.dumps(report))
    with pytest.raises(DataError, match=r"values of other types|cannot be read"):
        read_report(work / "odd.json")


@pytest.mark.parametrize(("interval", "passes"), [((0.95, 1.2), True), ((1.2, 1.4), False)])
def test_a_latency_is_a_regression_beyond_the_noise_of_both_runs(interval, passes, work):
    reports = []
    for ratio, limits in ((0.7, (0.6, 0.9)), (sum(interval) / 2, interval)):
        report = json.loads((work / "first" / "report.json").read_text())
        for candidate in report["candidates"]:
            candidate |= {"latency_ratio": ratio, "latency_interval": limits}
        (work / "changed.json").write_text(json.dumps(report))
        reports.append(read_report(work / "changed.json"))
    (check,) = [c for c in compare_reports(*reports) if c.name == "latency ratio"]
    assert check.passed is passes
