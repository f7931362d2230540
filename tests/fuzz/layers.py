"""The layers that take what others send, for scripts/fuzz and for the tests that replay what it has kept."""

from __future__ import annotations

from fuzzing.layer import Layer
from tests.fuzz import frames, meanings, messages

FRAME_MODULES = (
    *(
        f"http2/{module}"
        for module in (
            "client_connection", "connection", "control_frames", "floods", "frames", "headers", "outbound",
            "peer_settings", "server_connection", "stream",
        )
    ),
    "message_framing",
    "metadata",
)  # fmt: skip

LAYERS = {
    layer.name: layer
    for layer in (
        Layer(
            "frames",
            "bytes into both ends of an HTTP/2 connection",
            frames.run,
            frames.fresh,
            tuple(f"/gossipnode/rpc/{module}.py" for module in FRAME_MODULES),
            base_steps=4000,
            steps_per_byte=400,
        ),
        Layer(
            "messages",
            "bytes into every decoder of the wire",
            messages.run,
            messages.fresh,
            ("/gossipnode/wire/",),
            left_out=("/wire/generated/",),
            base_steps=20_000,
            steps_per_byte=400,
            most_steps=2,
            changes=(*[messages.change] * 6, messages.change_decoder, messages.change_flags),
        ),
        Layer(
            "meanings",
            "lies of peers, into sessions, rounds and what replicas answer",
            meanings.run,
            meanings.fresh,
            (
                "/gossipnode/core/session/",
                "/gossipnode/core/ring/",
                "/gossipnode/core/query/newest",
                "/gossipnode/core/query/write_answers",
            ),
            base_steps=4000,
            steps_per_byte=40,
        ),
    )
}
