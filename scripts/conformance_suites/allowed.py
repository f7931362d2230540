"""The failures that are accepted, by suite and case, each with its reason.

A failure that is not here fails the run, and so does an entry whose case passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALLOWED: Final[Mapping[str, Mapping[str, str]]] = {
    "h2spec": {
        "http2/5.3.1/1": (
            "HEADERS that depend on their own stream: RFC 9113 has taken out the priorities of RFC 7540 and "
            "this rule with them; nothing here reads them, nor does grpc-go"
        ),
        "http2/5.3.1/2": "PRIORITY that depends on its own stream: as above",
    },
}
