"""One parser for each kind of value that a setting can have.

A parser takes what TOML gives (a typed value) or what the environment and the command line give (text), and
raises an error that says what is expected. The caller adds where the value came from.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.core.model.limits import (
    GROUP_INDEXES_MAX,
    GROUP_MAX_BYTES,
    RETENTION_MAX_SECONDS,
    TAG_KEY_MAX_BYTES,
)

Parser: TypeAlias = Callable[[object], Any]

MEMBER_NAME_MAX_BYTES = 255
SECONDS_MAX = RETENTION_MAX_SECONDS
"""Of a deadline. A longer one would not fit into the header that carries it."""
_CRON_FIELDS = 5
_UNIT_BYTES = {"MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}
MEMORY_BUDGET_MIN_BYTES = 16_000_000
"""With less, a message of the largest size would find no room."""
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MEMBER_NAME = re.compile(r"[\x21-\x7e]+")
_NOT_IN_MEMBER_NAME = frozenset("/=,")


class WrongValueError(ValueError):
    """A value that a setting cannot have. The message shows it and says what is expected."""


def text(value: object) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str):
        raise WrongValueError(f"expected text, got {_shown(value)}")
    if not value:
        raise WrongValueError("expected text, got nothing")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, none of them empty."""
    return tuple(text(item) for item in _list(value, '["a", "b"]'))


def named(value: object) -> list[str]:
    """The items of a text such as "a, b", one of them at least."""
    return comma_list(text(value)) or [text("")]


def _shown(value: object) -> str:
    kinds: dict[type[object], str] = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
        str: "a text",
    }
    kind = kinds.get(type(value), "a " + type(value).__name__)
    return f"{kind} ({str(value)[:40]})"


def member_name(value: object) -> str:
    """The name of a node, which travels as call metadata: visible ASCII, none of "/", "=" and ","."""
    name = text(value)
    if (
        not _MEMBER_NAME.fullmatch(name)
        or len(name) > MEMBER_NAME_MAX_BYTES
        or _NOT_IN_MEMBER_NAME.intersection(name)
    ):
        raise WrongValueError(
            f"{name[:80]!r} is no node name: at most 255 visible ASCII characters, none of them / = or comma"
        )
    return name


def cluster_name(value: object) -> str:
    """A name that can travel as call metadata: visible ASCII."""
    name = text(value)
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", name):
        raise WrongValueError(f"{name[:80]!r} is no cluster name: at most 255 visible ASCII characters")
    return name


def any_group_name(value: object) -> str:
    """The name of a group, which may be one of the node's own."""
    name = text(value)
    if _size(name) > GROUP_MAX_BYTES:
        raise WrongValueError(f"group name {name[:40]!r}... is longer than {GROUP_MAX_BYTES} bytes")
    if "/" in name:
        raise WrongValueError(f'group name {name!r} holds a "/"')
    return name


def any_group_names(value: object) -> tuple[str, ...]:
    """Names of groups that exist."""
    return tuple(any_group_name(item) for item in _list(value, '["a", "b"]'))


def _size(name: str) -> int:
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        # What a shell or the environment handed over was not UTF-8.
        raise WrongValueError(f"{name[:40]!r} is no UTF-8 text") from None


def new_group_name(value: object) -> str:
    """The name of a group that is to be created. One that exists may have another, of an earlier version."""
    name = any_group_name(value)
    if not name.isprintable():
        raise WrongValueError(f"group name {name!r} holds characters that cannot be printed")
    return name


def group_name(value: object) -> str:
    """The name of a group that clients may use."""
    name = new_group_name(value)
    if name.startswith("_"):
        raise WrongValueError(
            f'group name {name!r} begins with "_", which is kept for the node\'s own groups'
        )
    return name


def address(value: object) -> Address:
    """An address that others can dial."""
    parsed = _address(value, allow_port_zero=False)
    if parsed.is_everywhere:
        raise WrongValueError(
            f"nobody can dial {str(value)!r}: it stands for every address of a machine, give one of them"
        )
    return parsed


def listen_address(value: object) -> Address:
    """An address to listen on; port 0 takes any free port."""
    return _address(value, allow_port_zero=True)


def _address(value: object, *, allow_port_zero: bool) -> Address:
    try:
        return parse_address(text(value), allow_port_zero=allow_port_zero)
    except AddressError as error:
        raise WrongValueError(str(error)) from None


def addresses(value: object) -> tuple[Address, ...]:
    """Addresses that others can dial, as a list or with commas between them; each once."""
    items = comma_list(value) if isinstance(value, str) else value
    return tuple(dict.fromkeys(address(item) for item in _list(items, '["127.0.0.1:7400"]')))


def tag_keys(value: object) -> tuple[str, ...]:
    """A list of keys of tags, each once."""
    keys = tuple(tag_key(item) for item in _list(value, '["status"]'))
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise WrongValueError(f"tag {key!r} is given twice")
    if len(keys) > GROUP_INDEXES_MAX:
        raise WrongValueError(f"expected {GROUP_INDEXES_MAX} tags at most, got {len(keys)}")
    return keys


def tag_key(value: object) -> str:
    """The key of a tag."""
    key = text(value)
    if _size(key) > TAG_KEY_MAX_BYTES:
        raise WrongValueError(f"tag key {key[:40]!r}... is longer than {TAG_KEY_MAX_BYTES} bytes")
    return key


def _list(value: object, example: str) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise WrongValueError(f"expected a list such as {example}, got {_shown(value)}")
    return cast("Sequence[object]", value)


def path(value: object) -> Path:
    """A path, whether or not there is anything."""
    written = text(value)
    if "\0" in written:
        raise WrongValueError(f"{written[:80]!r} is no path: it holds a NUL character")
    return Path(written)


def existing_file(value: object) -> Path:
    """The path of a file that is there."""
    file = path(value)
    if not file.is_file():
        raise WrongValueError(f"no such file: {file}")
    return file


def peers(value: object) -> dict[str, Address]:
    """A table of names to addresses; or NAME=ADDR items, as a list or with commas between them."""
    if isinstance(value, dict):
        pairs = [(name, entry) for name, entry in cast("dict[str, object]", value).items()]
    else:
        items = comma_list(value) if isinstance(value, str) else cast("Sequence[str]", value)
        if not isinstance(items, list | tuple):
            raise WrongValueError(f'expected a table such as {{ b = "127.0.0.1:7401" }}, got {_shown(value)}')
        pairs = [_peer(item) for item in items]
    found: dict[str, Address] = {}
    for name, entry in pairs:
        if member_name(name) in found:
            raise WrongValueError(f"peer {name!r} is given twice")
        try:
            found[name] = address(entry)
        except WrongValueError as error:
            raise WrongValueError(f"peer {name!r}: {error}") from None
    return found


def _peer(item: object) -> tuple[str, object]:
    name, equals, entry = text(item).partition("=")
    if not equals or not name or not entry:
        raise WrongValueError(f"{item!r} is no peer: expected NAME=HOST:PORT")
    return name, entry


def comma_list(value: str) -> list[str]:
    """The items of a text such as "a, b". An empty text has none."""
    return [item.strip() for item in value.split(",") if item.strip()]


def group_spec(value: object) -> tuple[str, int, int]:
    """NAME:SHARDS:REPLICAS; the name may itself hold colons."""
    parts = text(value).rsplit(":", 2)
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,6}", part) for part in parts[1:]):
        raise WrongValueError(f"{value!r} is no group: expected NAME:SHARDS:REPLICAS, as in sw:1:3")
    return group_name(parts[0]), int(parts[1]), int(parts[2])


def whole_number(smallest: int, largest: int) -> Parser:
    """A whole number within bounds, given as a number or as its digits."""

    def parse(value: object) -> int:
        number = value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool):
            raise WrongValueError(f"expected a whole number, got {_given(value)}")
        if not smallest <= number <= largest:
            raise WrongValueError(f"expected {smallest} to {largest}, got {number}")
        return number

    return parse


def _given(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else _shown(value)


def seconds(value: object) -> float:
    """A number of seconds above 0."""
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise WrongValueError(f"expected a number of seconds, got {value[:40]!r}") from None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise WrongValueError(f"expected a number of seconds, got {_shown(value)}")
    if not 0 < number < math.inf:
        raise WrongValueError(f"expected a number of seconds above 0, got {value}")
    if number > SECONDS_MAX:
        raise WrongValueError(f"expected {SECONDS_MAX:,} seconds at most, got {_shown(value)}")
    return float(number)


def duration(value: object) -> float:
    """A time such as "7d", "12h", "30m" or "45s"; returns seconds."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise WrongValueError(f'expected a time such as "7d", "12h", "30m" or "45s", got {_given(value)}')
    total = int(found[1]) * _UNIT_SECONDS[found[2]]
    if total == 0:
        raise WrongValueError(f"expected a time above 0, got {value!r}")
    if total > RETENTION_MAX_SECONDS:
        raise WrongValueError(f"expected {format_duration(RETENTION_MAX_SECONDS)} at most, got {value!r}")
    return float(total)


def format_duration(whole_seconds: int) -> str:
    """The shortest text that `duration` reads as this: "7d", "36h", "90m" or "45s"."""
    for unit, size in reversed(_UNIT_SECONDS.items()):
        if whole_seconds and whole_seconds % size == 0:
            return f"{whole_seconds // size}{unit}"
    return f"{whole_seconds}s"


def memory_size(value: object) -> int:
    """A size such as "256MB" or "1GiB"; returns bytes."""
    found = re.fullmatch(r"([0-9]{1,9}) ?([MG]i?B)", value) if isinstance(value, str) else None
    if found is None:
        raise WrongValueError(f'expected a size such as "256MB" or "1GiB", got {_given(value)}')
    size = int(found[1]) * _UNIT_BYTES[found[2]]
    if size < MEMORY_BUDGET_MIN_BYTES:
        raise WrongValueError(f"expected {MEMORY_BUDGET_MIN_BYTES // 1_000_000}MB at least, got {value!r}")
    return size


def one_of(*choices: str) -> Parser:
    """One of a few words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise WrongValueError(f"expected one of {', '.join(choices)}, got {_given(value)}")
        return value

    return parse


def discovery(value: object) -> str:
    """How members are found. Four ways have names, and one of them works."""
    chosen: str = one_of("static", "file", "dns", "etcd")(value)
    if chosen != "static":
        raise WrongValueError(f'{chosen!r} is not supported yet: use "static" and list the peers')
    return chosen


def yes_or_no(value: object) -> bool:
    """True or false, also as text."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise WrongValueError(f"expected true or false, got {_given(value)}")


def schedule(value: object) -> str | None:
    """A cron expression of five fields (UTC), or an empty text for none."""
    if value == "":
        return None
    expression = text(value)
    from cronsim import CronSim, CronSimError

    try:
        # Of six fields, the first would be seconds.
        wrong = len(expression.split()) != _CRON_FIELDS
        next(CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        wrong = True
    if wrong:
        raise WrongValueError(
            f'{expression[:80]!r} is no cron schedule: expected five fields such as "0 2 * * *" (02:00 UTC)'
        )
    return expression


def read_toml(document: str) -> dict[str, object]:
    """The tables of a TOML document.

    Raises:
        WrongValueError: the text is not TOML; the message says where, and what is wrong.
    """
    try:
        return tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise WrongValueError(toml_problem(error, document)) from None
    except ValueError:
        # The interpreter refuses to read numbers of thousands of digits.
        before = re.split(r"[0-9_]{4000}", document, maxsplit=1)[0]
        line = before.count("\n") + 1
        raise WrongValueError(f"line {line}: this number has too many digits") from None
    except RecursionError:
        raise WrongValueError("lists or tables are nested too deep") from None


def toml_problem(error: tomllib.TOMLDecodeError, document: str) -> str:
    """`line 3, column 5: what is wrong`, from an error of the standard parser."""
    found = re.fullmatch(r"(?P<what>.*) \(at (?P<where>.*)\)", str(error))
    what, where = (found["what"], found["where"]) if found else (str(error), "end of document")
    if where == "end of document":
        where = f"line {len(document.splitlines()) or 1}"
    return f"{where}: {what[:1].lower()}{what[1:]}"
