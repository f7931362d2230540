"""The settings of the log: how much is said, and in which form."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LogFormat: TypeAlias = Literal["auto", "console", "json"]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says on stderr."""

    level: LogLevel = "info"
    """Lines below this level are left out."""
    format: LogFormat = "auto"
    """`auto`: for people on a terminal (`console`), one JSON object a line otherwise (`json`)."""
