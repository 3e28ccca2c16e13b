"""Finds the config and reads tables of it by a catalogue; names all faults in one go, by file and key. Light."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.settings.kinds import INHERIT, REQUIRED, Setting

DEFAULT_PATH = Path("/etc/gpucost/gpucost.toml")


def find(option: str | None, env: Mapping[str, str] = os.environ) -> Path:
    """The config's path: ``--config``, else GPUCOST_CONFIG, else /etc/gpucost/gpucost.toml."""
    return Path(option or env.get("GPUCOST_CONFIG") or DEFAULT_PATH)


def read_toml(path: Path) -> dict[str, Any]:
    """The whole file. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no config; `gpucost init --config {path}` writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError; so is a number of 5000 digits
        raise ConfigError(f"{path}: is not TOML: {error}") from None


class ConfigReader:
    """Collects faults while it reads, so that one run names them all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[str] = []

    def fault(self, key: str, what: str) -> None:
        """Note what is wrong with a key."""
        self.faults.append(f"{self.path}: {key}: {what}")

    def table(self, data: Any, key: str) -> dict[str, Any]:
        """A table, or a fault and an empty one."""
        if isinstance(data, dict):
            return data
        self.fault(key, f"must be a table, written [{key}]")
        return {}

    def read(
        self, data: dict[str, Any], catalogue_: tuple[Setting, ...], prefix: str, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The values of a table's settings, and their defaults; keys in ``also`` are read by others."""
        known = [s.key for s in catalogue_]
        for key in data:
            if key not in known and key not in also:
                near = difflib.get_close_matches(key, [*known, *also], 1)
                self.fault(
                    f"{prefix}{key}",
                    "is no setting" + (f"; did you mean {near[0]}?" if near else "; remove it"),
                )
        values: dict[str, Any] = {}
        for setting in catalogue_:
            if setting.key in data:
                try:
                    values[setting.key] = setting.read(data[setting.key])
                except ValueError as error:
                    self.fault(f"{prefix}{setting.key}", str(error))
            elif setting.default is REQUIRED:
                self.fault(f"{prefix}{setting.key}", f"is missing: {setting.text}")
            elif setting.default is not INHERIT:
                values[setting.key] = setting.default
        return values
