"""The commands of the corpus. ``@`` stands for ``out/`` and the case's own name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from corpus_inputs import SHAPES
from corpus_wrong_uses import WRONG_USES

SCHEMES = ("float16", "weight8", "dynamic", "weight4", "int8", "int16x8", "int8x4")
RECOVERIES = (
    "masks", "smoothing", "equalization", "activation-ranges", "mixed-precision", "mixed-activations",
    "rounding", "bias-correction",
)  # fmt: skip
SLOW_RECOVERIES = ("learned-rounding", "bias-sequence")
TARGETS = ("cpu", "gpu", "edge-tpu", "qualcomm-htp", "ethos-u55-128", "ethos-u85-512", "micro")
OBSERVERS = ("minmax", "moving-average", "percentile", "percentile:99.9", "mse", "entropy")
TINY = next(iter(SHAPES))
LARGE = {
    "resnet56_cifar10": ("int8 --layout npu", "weight4 --recover rounding"),
    "mobilenet_v1_075_224": ("int8", "int16x8"),
    "efficientnet_lite0": ("int8 --recover rounding,bias-correction", "dynamic"),
    "yolo_fastest_xl": ("int8 --layout npu", "float16"),
    "nmp": ("int8", "weight8"),
}


@dataclass(frozen=True)
class Case:
    """One command.

    Args:
        words: of the command line after ``tightfit``.
        exact: what it prints and its JSON files hold are the same each time.
        stage: the files of lower stages exist when it runs.
    """

    words: str
    exact: bool = False
    stage: int = 1


def cases(models: Iterable[str], quick: bool) -> Iterator[Case]:
    """Yield the cases in the order in which they are recorded.

    Args:
        models: those of ``../shared/models`` that are there. quick: only what takes a second or two.
    """
    present = [m for m in models if not quick or m == TINY]
    yield Case("convert tiny.onnx --channel-last -o @.tflite --json", stage=0)
    yield from slow_cases(quick)
    for scheme in SCHEMES:
        for layout in ("cpu", "npu", "micro")[: 1 if quick else 3]:
            yield quantize("demo", f"{scheme} --layout {layout}")
    yield from (quantize("demo", words) for words in demo_words(quick))
    yield Case("quantize demo.tflite int8 --data demo.npz --plan @.json -o @.tflite", exact=True)
    for name in present:
        yield from (quantize(name, words) for words in model_words(name))
        yield Case(f"inspect {name}.tflite --json", exact=True)
    yield from smaller_cases()
    yield from reading_cases(quick)
    yield from (Case(words) for words in WRONG_USES.splitlines())


def quantize(model: str, words: str, stage: int = 1) -> Case:
    """Return a case of ``quantize``; every scheme takes data, whether it calibrates or not."""
    data = f"--data {model}.npz --calibration 16"
    return Case(f"quantize {model}.tflite {words} {data} -o @.tflite --json", stage=stage)


def demo_words(quick: bool) -> Iterator[str]:
    """Yield the options of ``quantize`` that the demo is taken through."""
    yield from (f"int8 --io {io}" for io in ("int8", "uint8"))
    yield "int16x8 --io int16"
    yield from (f"int8 --observer {name}" for name in OBSERVERS)
    yield from (f"int8 --target {name}" for name in TARGETS if name != "gpu")
    yield "float16 --target gpu"
    yield "int8 --target micro --memory 256KiB"
    yield from (f"int8 --recover {step}" for step in RECOVERIES)
    yield from (f"{s} --recover rounding,bias-correction" for s in ("weight4", "int8x4", "int16x8"))
    yield "weight4 --recover mixed-precision --max-size 120kB"
    yield "int8x4 --recover mixed-precision,rounding"
    yield "int8 --recover mixed-activations --max-noise 0.0001"
    yield "int8 --recover smoothing,equalization,activation-ranges,rounding,bias-correction"
    yield "int8 --override SOFTMAX=float"
    yield "int8 --override CONV_2D=int16x8 --override SOFTMAX=float"
    yield "int8x4 --override CONV_2D=int8"
    yield "weight4 --override FULLY_CONNECTED=float16"
    yield "int8 --no-provenance"
    yield "int8 --seed 7"
    if not quick:
        yield "int8 --recover bias-sequence"


def model_words(name: str) -> Iterator[str]:
    """Yield the options of ``quantize`` that a model of ``../shared/models`` is taken through."""
    if name in LARGE:
        yield from LARGE[name]
        return
    yield from SCHEMES
    yield "int8 --layout npu --io int8"
    yield "int8 --target ethos-u55-128"
    yield "int8 --recover equalization,mixed-activations,rounding,bias-correction"
    yield "weight4 --recover rounding"


def slow_cases(quick: bool) -> Iterator[Case]:
    """Yield what imports Keras or measures much; first, so that the quick ones fill the other processes."""
    tiny = "out/convert-tiny.onnx-channel-last.tflite"
    train = f"finetune {tiny} --data tiny.npz:x,y --epochs 1 --train 64 -o @.tflite --json"
    yield Case(f"{train} --scheme int8")
    yield Case("convert demo.keras -o @.tflite --json")
    search = "optimize demo.tflite --data demo.npz:x,y --effort quick --calibration 32 --evaluation 64 --json"
    yield Case(f"{search} --only float16 --only int8 -o @")
    if quick:
        return
    yield Case(f"{train} --sparsity 0.5 --pattern 2:4")
    yield Case(
        "finetune demo.tflite --data demo.npz:x,y --epochs 1 --train 64 --scheme int8 -o @.tflite --json"
    )
    yield Case(f"{train} --scheme int8 --sparsity 0.5 --storage sparse")
    yield Case(f"{train} --scheme int16x8 --ranges fixed --labels no")
    yield Case(f"{train} --clusters 16")
    yield Case("convert tiny.onnx -o @.tflite --json")
    yield Case("convert demo.keras --batch dynamic -o @.tflite --json")
    channels = "prune demo.tflite --pattern channel --macs 0.6 --data demo.npz --calibration 16 -o @.tflite"
    yield from (Case(f"{channels} --importance {name} --json") for name in ("reconstruction", "taylor"))
    yield Case(f"optimize {TINY}.tflite --data {TINY}.npz --effort quick --calibration 8 -o @ --json")
    for step in SLOW_RECOVERIES:
        yield Case(f"quantize {tiny} int8 --recover {step} --data tiny.npz:x -o @.tflite --json")


def smaller_cases() -> Iterator[Case]:
    """Yield the cases of ``prune`` and ``cluster``."""
    for words in (
        "--sparsity 0.8", "--sparsity 0.5 --pattern 2:4", "--sparsity 0.5 --pattern 1x4",
        "--sparsity 0.5 --pattern 4x1", "--sparsity 0.5 --pattern 1x16", "--sparsity 0.7 --scope global",
        "--sparsity 0.7 --skip FULLY_CONNECTED", "--sparsity 0.7 --scheme float16",
        "--sparsity 0.7 --data demo.npz --calibration 16",
        "--sparsity 0.7 --scheme int8 --io int8 --data demo.npz --calibration 16",
        "--pattern channel --macs 0.5", "--pattern channel --max-size 300kB --multiple 4",
        "--pattern channel --macs 0.5 --importance magnitude --no-refit",
        "--pattern channel --macs 0.5 --scheme int8 --data demo.npz --calibration 16 --importance magnitude",
    ):  # fmt: skip
        yield Case(f"prune demo.tflite {words} -o @.tflite --json")
    for words in (
        "--clusters 16", "--clusters 16 --per channel", "--clusters 16 --initial linear",
        "--clusters 16 --initial density", "--clusters 16 --data demo.npz --calibration 16",
        "--clusters 32 --scheme int8 --data demo.npz --calibration 16",
    ):  # fmt: skip
        yield Case(f"cluster demo.tflite {words} -o @.tflite --json")


def reading_cases(quick: bool) -> Iterator[Case]:
    """Yield the commands that look at models and data."""
    made = "out/quantize-demo-int8-layout-cpu-data-demo.tflite"
    for model in ("demo.tflite", made):
        yield Case(f"inspect {model} --json", exact=True, stage=2)
        for target in TARGETS:
            yield Case(f"check {model} --target {target} --no-compile --json", exact=True, stage=2)
    for target in ("ethos-u55-128", "micro"):
        yield Case(f"check {made} --target {target} --json", stage=2)
        yield Case(f"check {made} --target {target} --memory 16KiB --json", stage=2)
    yield Case("check demo.tflite --target gpu --fix -o @.tflite --json")
    yield Case("inspect out/convert-tiny.onnx-channel-last.tflite", exact=True)
    yield Case("inspect demo.tflite --groups --json", exact=True)
    yield Case("check --target list", exact=True)
    yield Case("advise --list", exact=True)
    yield Case(
        "advise --answer device=npu --answer goal=both --answer data=samples --answer tried=no --json",
        exact=True,
    )
    yield Case("models --max-size 5MB --json", exact=True)
    yield Case(f"verify {made} --json", stage=2)
    yield Case(f"verify {made} --data demo.npz --json", stage=2)
    yield Case(f"diff demo.tflite {made} --data demo.npz --limit 16 --json", exact=True, stage=2)
    yield Case(f"diff {made} {made} --json", exact=True, stage=2)
    yield Case("doctor demo.tflite --data demo.npz:x,y --calibration 32 --json", exact=True)
    yield Case("doctor demo.tflite --data nan.npz --json", exact=True)
    yield Case(f"evaluate demo.tflite {made} --data demo.npz:x,y --limit 64 --json", exact=True, stage=2)
    yield Case(f"benchmark demo.tflite {made} --rounds 6 --seconds 1 --json", stage=2)
    if not quick:
        explain = f"explain demo.tflite {made} --data demo.npz:x,y --calibration 16 --evaluation 16"
        yield Case(f"{explain} --no-remedies --html @.html --overlay @.overlay.json --json", stage=2)
        yield Case(f"{explain} -o @.tflite --json", stage=2)
        yield Case(f"simulate {made} --data demo.npz --limit 16 --json", stage=2)
