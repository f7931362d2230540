"""The attacks, by what they are made of. Each is a function, named as the attack is."""

from __future__ import annotations

from attacks.attack import Attacks
from attacks.ways import by_members, on_connections, on_frames, on_messages, on_streams

ATTACKS = Attacks(
    {
        **on_frames.ATTACKS,
        **on_connections.ATTACKS,
        **on_streams.ATTACKS,
        **on_messages.ATTACKS,
        **by_members.ATTACKS,
    }
)
