"""The variables of the environment that bear our prefix: which are ours, and which are a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from gossipnode.config.keys import SECTIONS, SettingsError, hint

ENVIRONMENT_PREFIX = "GOSSIPNODE_"
GROUPS_VARIABLE = "groups"
_OPTIONS = ("at", "ca", "cert", "key", "server_name", "profile", "debug")
"""Variables that are no settings of a node: options of the commands that ask one."""
_UNKNOWN = "no setting has this name"


def setting_variables(names: Iterable[str]) -> list[str]:
    """The names of those variables that are settings of a node.

    Raises:
        SettingsError: a variable has our prefix, and nothing reads it. A misspelt one would be ignored.
    """
    found: list[str] = []
    for variable in sorted(names):
        rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or rest in _OPTIONS or _set_by_kubernetes(rest):
            continue
        section, _, key = rest.partition("_")
        if rest != GROUPS_VARIABLE and key not in SECTIONS.get(section, {}):
            raise SettingsError(f"{variable}: {_problem(rest)}")
        found.append(variable)
    return found


def _problem(rest: str) -> str:
    section, _, key = rest.partition("_")
    if _of_another_service(rest):
        return f"{_UNKNOWN}: unset it; if Kubernetes sets it, `enableServiceLinks: false` ends that"
    if section in SECTIONS:
        return f"[{section}] has no key {key!r}: {hint(key, list(SECTIONS[section]))}"
    settings = [f"{section}_{key}" for section, keys in SECTIONS.items() for key in keys]
    known = [*_OPTIONS, GROUPS_VARIABLE, *settings]
    # The prefix, which all share, would make every two of them alike.
    near = [ENVIRONMENT_PREFIX + name.upper() for name in get_close_matches(rest, known, n=1)]
    todo = f"did you mean {near[0]}?" if near else "unset it, or see `gossipnode run --help`"
    return f"{_UNKNOWN}: {todo}"


def _set_by_kubernetes(rest: str) -> bool:
    """Whether Kubernetes sets it for a service of the name gossipnode."""
    return rest.startswith(("service_", "port"))


def _of_another_service(rest: str) -> bool:
    """Whether Kubernetes may have set it for a service such as gossipnode-web. It may be misspelt as well."""
    return bool(re.fullmatch(r".+_(service_(host|port)(_.*)?|port(_[0-9]+_.*)?)", rest))
