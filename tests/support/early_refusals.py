"""Runs the command line on wrong options, with every child process forbidden; prints what was not refused.

    python early_refusals.py FOLDER

Conversions, LiteRT and trainings run in child processes, so a refusal without one comes before any of them.
The folder has the files that the words name.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

import click

from tightfit.cli.app import app, run

MODEL, DATA = "net.keras", "d.npz"
USES = {
    "optimize": [MODEL, "--data", DATA, "-o", "out"],
    "quantize": [MODEL, "int8", "--data", DATA, "-o", "o.tflite"],
    "finetune": [MODEL, "--data", DATA, "-o", "o.tflite", "--scheme", "int8"],
    "prune": [MODEL, "--sparsity", "0.5", "-o", "o.tflite", "--data", DATA],
    "cluster": [MODEL, "--clusters", "16", "-o", "o.tflite", "--data", DATA],
    "evaluate": [MODEL, "--data", DATA],
    "benchmark": [MODEL],
    "check": [MODEL, "--target", "cpu"],
    "deploy": [MODEL, "--for", "micro", "-o", "project"],
    "explain": [MODEL, "q.tflite", "--data", DATA],
    "compare": ["a.json", "b.json"],
    "track": ["a.json", "--tensorboard", "runs"],
    "data": [DATA, "--model", MODEL],
    "doctor": [MODEL, "--data", DATA],
    "advise": ["--answer", "data=none"],
    "models": [],
    "inspect": [MODEL],
    "convert": [MODEL, "-o", "o.tflite"],
    "simulate": [MODEL, "--data", DATA, "--scheme", "int8"],
    "verify": ["q.tflite"],
    "diff": [MODEL, "q.tflite"],
    "sign": ["q.tflite", "-o", "s.tflite", "--key", "k.pem"],
}
"""Command → a right use of it."""

ANY_TEXT = {
    "--output", "--plan", "--recipe", "--overlay", "--html", "--signature", "--feature", "--skip", "--name",
    "--mlflow", "--tensorboard",
}  # fmt: skip
"""Options whose every text may be right: places to write, and names that only the model has."""

WRONG = ("mars", "-1", "nan")

WHOLE = f"""
quantize {MODEL} int8 -o o.tflite
quantize {MODEL} dynamic -o o.tflite --recover gptq
quantize {MODEL} int8 --data {DATA} -o o.tflite --memory 200kB
quantize {MODEL} float16 -o o.tflite --image size=28
quantize {MODEL} float16 -o o.tflite --io int8
quantize {MODEL} int8 --data {DATA} -o folder
finetune {MODEL} --data {DATA} -o o.tflite
finetune {MODEL} --data {DATA} -o o.tflite --sparsity 0.5 --ranges fixed
finetune {MODEL} --data {DATA} -o o.tflite --sparsity 0.5 --io int8
finetune {MODEL} --data {DATA} -o o.tflite --scheme int8 --pattern 2:4
finetune {MODEL} --data {DATA} -o o.tflite --scheme int8 --clusters 1
prune {MODEL} --pattern channel --macs 0.5 --importance taylor -o o.tflite
prune {MODEL} --sparsity 0.5 --scheme int8 -o o.tflite
cluster {MODEL} --clusters 16 --scheme int8 -o o.tflite
benchmark {MODEL} --on arm
benchmark {MODEL} absent.tflite
evaluate {MODEL} absent.tflite --data {DATA}
deploy {MODEL} --for cpu -o project
deploy {MODEL} --for micro -o a.json
explain {MODEL} {MODEL} --data {DATA}
explain q.tflite q.tflite --data {DATA}
explain {MODEL} a.json --data {DATA}
diff {MODEL} a.json
verify a.json
verify {MODEL}
inspect a.json
optimize a.json --data {DATA} -o out
optimize {MODEL} --data a.json -o out
optimize {MODEL} --data {DATA} -o a.json
optimize {MODEL} --data {DATA} -o out --memory 1MB
data {MODEL} --model {MODEL}
simulate {MODEL} --data {DATA}
convert q.tflite -o o.tflite --signature serve
convert q.tflite -o o.tflite --input-shape 1,2
convert q.tflite -o o.tflite --hold x=3
convert {MODEL} -o o.tflite --hold x=3
convert {MODEL} -o o.tflite --signature serve
convert {MODEL} -o o.tflite --channel-last
convert {MODEL} -o o.tflite --image size=3
"""
"""Wrong uses of several words."""


class ChildError(BaseException):
    """A child process was started."""


def forbidden(*_: object, **__: object) -> None:
    """Stands for the start of a child process."""
    raise ChildError


def outcome(words: list[str]) -> str:
    """Return the exit code of a command, or what else ended it, with its message."""
    sys.argv = ["tightfit", *words]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            run()
        except SystemExit as end:
            return f"{end.code} {said.getvalue()}"
        except ChildError:
            return "a child process"
    return "nothing"


def wrong_uses() -> list[list[str]]:
    """Return every command with a wrong value of every option, and the wrong uses of several words."""
    uses = [line.split() for line in WHOLE.strip().splitlines()]
    context = click.Context(app)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        for option in command.params:
            if not isinstance(option, click.Option) or option.is_flag or set(option.opts) & ANY_TEXT:
                continue
            base = list(USES[name])
            for given in set(option.opts) & set(base):
                place = base.index(given)
                del base[place : place + 2]
            uses += [[name, *base, f"{option.opts[-1]}={wrong}"] for wrong in WRONG]
    return uses


def main() -> None:
    """Print each wrong use that was not refused, and the frameworks that are loaded at the end."""
    os.chdir(sys.argv[1])
    uses = wrong_uses()
    subprocess.Popen.__init__ = forbidden  # type: ignore[method-assign,assignment]
    for words in uses:
        end = outcome(words)
        if not (end.startswith("2 ") and "tightfit: " in end):
            sys.stdout.write(f"{' '.join(words)} -> {end}\n")
    slow = ("keras", "jax", "torch", "tensorflow", "onnx", "litert_converter", "ai_edge_litert.interpreter")
    loaded = [name for name in slow if name in sys.modules]
    sys.stdout.write(f"{len(uses)} wrong uses, loaded: {loaded}\n")


if __name__ == "__main__":
    main()
