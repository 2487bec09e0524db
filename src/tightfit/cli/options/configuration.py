"""The file of ``--config``: options by command."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tightfit.cli.options.command_group import COMMANDS
from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.paths import read_text


def read_config(path: str) -> dict[str, Any]:
    """Return options by command and name, from a TOML file with one table a command.

    Raises:
        DataError: the file cannot be read. OptionError: a table is of no command.
    """
    try:
        plain = tomllib.loads(read_text(Path(path), "The configuration"))
    except (OSError, ValueError) as error:
        raise DataError(f"The configuration '{path}' cannot be read ({error}); expected TOML.") from error
    for name, table in plain.items():
        if name not in COMMANDS or not isinstance(table, dict):
            raise OptionError(unknown_name("command in the configuration", name, COMMANDS))
    return {name: {k.replace("-", "_"): v for k, v in table.items()} for name, table in plain.items()}
