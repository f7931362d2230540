"""Profiles of the command line: which node to ask and how to reach it, by a name, in a file of the user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from gossipnode.config import values
from gossipnode.config.keys import SettingsError, hint
from gossipnode.config.values import Parser, WrongValueError

PROFILES_FILE = Path("gossipnode/profiles.toml")
"""Below the user's directory of configurations."""

_KEYS: dict[str, Parser] = {
    "at": values.address,
    "ca": values.path,
    "cert": values.path,
    "key": values.path,
    "server_name": values.text,
}
_FILES = frozenset(("ca", "cert", "key"))


def profiles_path(environment: Mapping[str, str]) -> Path:
    """Where the profiles of this user are: ~/.config/gossipnode/profiles.toml, or below XDG_CONFIG_HOME."""
    base = environment.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / PROFILES_FILE


def read_profile(path: Path, name: str) -> dict[str, Any]:
    """The values of one profile, by the names of the options. A relative path starts where the file is.

    Raises:
        SettingsError: the file cannot be read or is no TOML, it has no such profile, or a value is wrong.
    """
    tables = _read(path)
    profile = tables.get(name)
    if profile is None:
        raise SettingsError(f"no profile is called {name!r}: {_known(path, tables, name)}")
    if not isinstance(profile, dict):
        raise SettingsError(f"{path}: {name}: expected a table, [{name}]")
    found: dict[str, Any] = {}
    for key, value in cast("dict[str, object]", profile).items():
        if key not in _KEYS:
            raise SettingsError(f"{path}: [{name}] has no key {key!r}: {hint(key, list(_KEYS))}")
        try:
            found[key] = _KEYS[key](value)
        except WrongValueError as error:
            raise SettingsError(f"{path}: [{name}] {key}: {error}") from None
        if key in _FILES:
            found[key] = path.parent / Path(found[key]).expanduser()
    return found


def _read(path: Path) -> dict[str, object]:
    try:
        return values.read_toml(path.read_text(encoding="utf-8"))
    except WrongValueError as error:
        raise SettingsError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: this is no text in UTF-8") from None
    except FileNotFoundError:
        raise SettingsError(f"there are no profiles: {path} does not exist") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None


def _known(path: Path, tables: Mapping[str, object], name: str) -> str:
    near = get_close_matches(name, tables, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{path} has {', '.join(sorted(tables))}" if tables else f"{path} is empty"
