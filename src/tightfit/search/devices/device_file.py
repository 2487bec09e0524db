"""``devices.toml``: the boards of a search.

[devices.pi5]
ssh = "ssh://pi@raspberrypi.local"   # ssh://user@host:port, logs in by a key
threads = 4                          # CPU threads of LiteRT; 1 by default
python = "python3"                   # its command there
config = "ssh_config"                # a file for ssh -F, beside devices.toml
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.evaluation.devices.ssh_device import Device
from tightfit.paths import read_text

_KEYS: Final = {"ssh": str, "threads": int, "python": str, "config": str}
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,39}")
_MOST_THREADS: Final = 1024


@dataclass(frozen=True)
class NamedDevice:
    """A board.

    Args:
        name: in reports and in the name of its file.
        device: how ssh reaches it.
        threads: CPU threads of LiteRT there.
    """

    name: str
    device: Device
    threads: int = 1


def read_devices(path: str | Path) -> tuple[NamedDevice, ...]:
    """Return the boards of a ``devices.toml``.

    Args:
        path: of the file.

    Raises:
        DataError: it cannot be read, or holds no table ``devices``.
        OptionError: a device has an unknown key or a wrong value.
    """
    place = Path(path)
    try:
        plain = tomllib.loads(read_text(place, "The file of devices"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"'{place.name}' cannot be read as TOML: {error}.") from error
    tables = plain.get("devices")
    if not isinstance(tables, Mapping) or not tables:
        raise DataError(
            f"'{place.name}' names no device. Expected a table such as [devices.pi5] with "
            'ssh = "ssh://pi@raspberrypi.local".'
        )
    return tuple(_device(name, facts, place.parent) for name, facts in tables.items())


def _device(name: str, facts: Any, folder: Path) -> NamedDevice:
    if not _NAME.fullmatch(name):
        raise OptionError(f"Received the device name '{name}'; expected letters, digits, '.', '_' or '-'.")
    if not isinstance(facts, Mapping) or "ssh" not in facts:
        raise OptionError(f"The device '{name}' has no address; add ssh = \"ssh://user@host\".")
    for key, value in facts.items():
        if key not in _KEYS:
            raise OptionError(f"The device '{name}': {unknown_name('key', key, _KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise OptionError(f"The device '{name}' has {key} = {value!r}; expected {_KEYS[key].__name__}.")
    threads = facts.get("threads", 1)
    if not 1 <= threads <= _MOST_THREADS:
        raise OptionError(f"The device '{name}' has {threads} threads; expected 1 to {_MOST_THREADS}.")
    config = folder / facts["config"] if "config" in facts else None
    python = facts.get("python", "python3")
    return NamedDevice(name, Device.parse(facts["ssh"], config=config, python=python), threads)
