"""The edits that make gRPC of what h2spec asks: each is small, and must find its place.

h2spec sends GET requests without a body, as a web server expects them. A gRPC server refuses those at once,
before most of the cases have come to their point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance_suites.results import SuiteError


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces every match of a pattern in one file; there must be `count` of them."""

    file: str
    pattern: str
    replacement: str
    count: int = 1


# A request that ends with its head becomes one that ends with an empty message.
_WHOLE_REQUEST: Final = r"EndStream:( +)true,(.*?)conn\.WriteHeaders\(hp\)"


def _with_message(stream_id: str, message: str) -> str:
    return rf"EndStream:\1false,\2conn.WriteHeaders(hp)\nconn.WriteData({stream_id}, true, {message})"


_MESSAGE: Final = _with_message("streamID", "spec.EmptyMessage()")

EDITS: Final = (
    # Requests as gRPC has them: a POST with its fields.
    Edit("spec/util.go", r'HeaderField\(":method", "GET"\)', 'HeaderField(":method", "POST")'),
    Edit(
        "spec/util.go",
        r'HeaderField\(":authority", authority\),',
        'HeaderField(":authority", authority),\n'
        'HeaderField("te", "trailers"),\n'
        'HeaderField("content-type", "application/grpc"),',
    ),
    Edit(
        "spec/util.go",
        r"\Z",
        "\n// EmptyMessage is a gRPC message of no bytes with its prefix.\n"
        "func EmptyMessage() []byte { return make([]byte, 5) }\n",
    ),
    # Cases that need an answer with DATA, or streams that stay open, need requests with a message.
    Edit("spec/util.go", _WHOLE_REQUEST, _with_message("1", "EmptyMessage()")),
    Edit("generic/2_streams_and_multiplexing.go", _WHOLE_REQUEST, _MESSAGE, 4),
    Edit("http2/5_1_2_stream_concurrency.go", _WHOLE_REQUEST, _MESSAGE),
    Edit("http2/6_5_3_settings_synchronization.go", _WHOLE_REQUEST, _MESSAGE),
    Edit("http2/6_9_1_the_flow_control_window.go", _WHOLE_REQUEST, _MESSAGE),
    Edit("http2/6_9_2_initial_flow_control_window_size.go", _WHOLE_REQUEST, _MESSAGE, 2),
    # A frame that is too long is longer than what the server has announced; compression shrinks it a little.
    Edit(
        "http2/4_2_frame_size.go",
        r"spec\.DummyHeaders\(c, 5\)",
        "spec.DummyHeaders(c, 2*conn.MaxFrameSize()/c.MaxHeaderLen)",
    ),
)


def edit_h2spec(folder: Path) -> None:
    """Make all edits in a copy of h2spec. Raises SuiteError if one does not find its places."""
    for edit in EDITS:
        path = folder / edit.file
        path.write_text(edited(path.read_text(encoding="utf-8"), edit), encoding="utf-8")


def edited(text: str, edit: Edit) -> str:
    """`text` with one edit made."""
    changed, count = re.subn(edit.pattern, edit.replacement, text, flags=re.DOTALL)
    if count != edit.count:
        raise SuiteError(f"{edit.file} of h2spec has {count} places for an edit, not {edit.count}")
    return changed
