"""Mutants of a seed: of a model's tables, of JSON, TOML, zip archives, tars, and of plain bytes."""

from __future__ import annotations

import io
import json
import random
import tarfile
import zipfile
from typing import Any, Final

import flatbuffers  # noqa: TID251 - the mutants are of this format
import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the same

NUMBERS: Final = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    15,
    16,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
)
FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 1e-38, 1e38, float("inf"), float("-inf"), float("nan"), 5e-324)
TEXTS: Final = (
    "",
    "\0",
    "\n",
    "\x1b[2J",
    "..",
    "/",
    "x" * 5000,
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "a;b",
    "😀",
    "%s{}",
)


def mutate_model(data: bytes, dice: random.Random) -> bytes:
    """Return a mutant of a ``.tflite``: one to four fields of its tables changed, or its bytes."""
    if dice.random() < 0.3:
        return mutate_bytes(data, dice)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for _ in range(dice.randint(1, 4)):
        _change_field(model, dice)
    builder = flatbuffers.Builder(len(data))
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:  # noqa: BLE001 - the packer refuses values that do not fit their field
        return mutate_bytes(data, dice)
    packed = bytes(builder.Output())
    return mutate_bytes(packed, dice) if dice.random() < 0.2 else packed


def _change_field(root: Any, dice: random.Random) -> None:
    """Walks down to a random table and changes one of its fields."""
    table = root
    while True:
        fields = [n for n in vars(table) if not n.startswith("_")]
        if not fields:
            return
        name = dice.choice(fields)
        value = getattr(table, name)
        inner = value[dice.randrange(len(value))] if isinstance(value, list) and value else value
        if hasattr(inner, "Pack") and dice.random() < 0.85:
            table = inner
            continue
        setattr(table, name, changed(value, dice))
        return


def changed(value: Any, dice: random.Random) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, dict):
        return {k: changed(v, dice) if dice.random() < 0.5 else v for k, v in value.items()}
    if isinstance(value, list):
        return _changed_list(value, dice)
    if isinstance(value, np.ndarray):
        return _changed_array(value, dice)
    return _changed_scalar(value, dice)


def _changed_scalar(value: Any, dice: random.Random) -> Any:
    choices: tuple[Any, ...] = (None,) if value is not None else (0, [], "", {})
    if isinstance(value, bool):
        choices = (not value,)
    elif isinstance(value, int):
        choices = (*NUMBERS, value + 1, value - 1, value * 2)
    elif isinstance(value, float):
        choices = (*FLOATS, value * 2, -value)
    elif isinstance(value, bytes):
        choices = (*(text.encode() for text in TEXTS), value[: len(value) // 2])
    elif isinstance(value, str):
        choices = TEXTS
    return dice.choice(choices)


def _changed_array(values: np.ndarray, dice: random.Random) -> np.ndarray:
    copy = values.copy().reshape(-1)
    kind = dice.randrange(4)
    if kind == 0 or not copy.size:
        return np.resize(copy, dice.choice((0, 1, copy.size + 1, 2 * copy.size))) if copy.size else copy
    if kind == 1:
        return copy[: copy.size // 2]
    pool = FLOATS if copy.dtype.kind == "f" else NUMBERS
    with np.errstate(all="ignore"):
        copy[dice.randrange(copy.size)] = np.asarray(dice.choice(pool)).astype(copy.dtype)
    return copy


def _changed_list(values: list[Any], dice: random.Random) -> list[Any]:
    if not values:
        return [dice.choice(NUMBERS)]
    copy, place = list(values), dice.randrange(len(values))
    kind = dice.randrange(5)
    if kind == 0:
        del copy[place]
    elif kind == 1:
        copy.insert(place, values[dice.randrange(len(values))])
    elif kind == 2:
        copy *= 2
    elif kind == 3:
        dice.shuffle(copy)
    else:
        copy[place] = changed(values[place], dice)
    return copy


def mutate_bytes(data: bytes, dice: random.Random) -> bytes:
    """Return the bytes with bits flipped, words replaced, parts cut, doubled or moved."""
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if not content:
            return bytes(dice.randrange(256) for _ in range(dice.randrange(64)))
        place = dice.randrange(len(content))
        kind = dice.randrange(6)
        if kind == 0:
            content[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            content[place : place + 4] = (dice.choice(NUMBERS) & 0xFFFFFFFF).to_bytes(4, "little")
        elif kind == 2:
            content[place] = dice.choice((0, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            del content[place : place + dice.choice((1, 4, 64, len(content)))]
        elif kind == 4:
            content[place:place] = content[place : place + dice.choice((1, 4, 64))]
        else:
            other = dice.randrange(len(content))
            content[place : place + 8] = content[other : other + 8]
    return bytes(content)


def mutate_json(data: bytes, dice: random.Random) -> bytes:
    """Return a mutant of JSON lines: values changed, keys renamed, nested deeper; or its bytes."""
    if dice.random() < 0.25:
        return mutate_bytes(data, dice)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    place = dice.randrange(len(lines))
    try:
        value = json.loads(lines[place])
    except (ValueError, RecursionError):
        return mutate_bytes(data, dice)
    for _ in range(dice.randint(1, 3)):
        value = _deeper(value, dice) if dice.random() < 0.15 else _changed_json(value, dice)
    try:
        lines[place] = json.dumps(value)
    except RecursionError:
        lines[place] = "[" * 100_000
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _changed_json(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(list(value))
        return value | {key: _changed_json(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        place = dice.randrange(len(value))
        return [*value[:place], _changed_json(value[place], dice), *value[place + 1 :]]
    return dice.choice(
        (changed(value, dice), None, [], {}, "x", 1e308, -1, True, [[1], [2, 3]], {"class_name": "x"})
    )


def _deeper(value: Any, dice: random.Random) -> Any:
    for _ in range(dice.choice((1, 10, 400))):
        value = [value] if dice.random() < 0.5 else {"config": value}
    return value


def mutate_zip(data: bytes, dice: random.Random) -> bytes:
    """Return a mutant of a zip archive: a member's bytes, names, or the archive's own."""
    if dice.random() < 0.4:
        return mutate_bytes(data, dice)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
        chosen = dice.randrange(len(members))
        for i, (name, content) in enumerate(members):
            if i == chosen:
                mutate = mutate_json if name.endswith(".json") else mutate_bytes
                content = mutate(content, dice)  # noqa: PLW2901 - the chosen one is another
            new.writestr(name, content, dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return buffer.getvalue()


def mutate_tar(data: bytes, dice: random.Random) -> bytes:
    """Return a mutant of a tar: its bytes, or a member's content, name, kind or declared size."""
    if dice.random() < 0.3:
        return mutate_bytes(data, dice)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(info, archive.extractfile(info)) for info in archive.getmembers()]
        chosen = dice.randrange(len(members))
        for i, (info, file) in enumerate(members):
            content = b"" if file is None else file.read()
            if i == chosen:
                content = _change_member(info, content, dice)
            buffer.write(info.tobuf() + content + bytes(-len(content) % 512))
    return buffer.getvalue() + bytes(1024)


def _change_member(info: tarfile.TarInfo, content: bytes, dice: random.Random) -> bytes:
    """Changes one part of a member's header, or returns other content."""
    kind = dice.randrange(4)
    if kind == 0:
        info.name = dice.choice((*TEXTS[2:5], "s.", ".cls", "a/s0.cls", info.name + ".npy", info.name[:-1]))
    elif kind == 1:
        info.size = dice.choice([n for n in NUMBERS if n >= 0])
    elif kind == 2:
        info.type = dice.choice((tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"?"))
    else:
        content = (mutate_json if info.name.endswith(".json") else mutate_bytes)(content, dice)
        info.size = len(content)
    return content


_TOML: Final = (
    "0", "-1", "1e999", "nan", "true", '""', '"\\u0000"', '"int8"', '"5MB"', "[]", "[1]", '["int8"]', "{}",
    "{ a = 1 }", "2020-01-01", "99999999999999999999", '"../../../etc/hostname"', '"a=b,c=d"', '"="',
    '"-oProxyCommand=x"', '"ssh://-x"', '"' + "x" * 5000 + '"', "[" * 400,
)  # fmt: skip


def mutate_options(data: bytes, dice: random.Random) -> bytes:
    """Return a mutant of a TOML file: values and keys changed, lines doubled or cut, or its bytes."""
    if dice.random() < 0.2:
        return mutate_bytes(data, dice)
    lines = data.decode().split("\n")
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(len(lines))
        key, sign, _ = lines[place].partition(" = ")
        if sign and dice.random() < 0.8:
            lines[place] = f"{key} = {dice.choice(_TOML)}"
        else:
            lines[place] = dice.choice(
                (lines[place] * 2, "", "[x]", "[[devices]]", "run.x = 1", "strange = 1")
            )
    return "\n".join(lines).encode()
