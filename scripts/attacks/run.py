"""One attack, measured: innocent clients beside it, the node's memory, and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable

import trio

from attacks import innocents
from attacks.attack import Attack, Scene
from attacks.attacker import Target
from attacks.clusters import Cluster
from attacks.verdict import Figures, Memory, Outcome, problems_of
from benchmarks.nodes import BATCH_RECORDS, GROUP, Asker, BenchmarkError
from gossipnode.core.model.property import Entity
from gossipnode.rpc import RpcError
from gossipnode.wire import services
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_get

ATTACK_SECONDS = 6.0
LEAD_SECONDS = 0.5
"""The innocents call alone for as long, before the attack begins and after it has ended."""
QUIET_SECONDS = 1.0
"""From the end of an attack to the look at the memory that is left."""
READY_SECONDS = 60.0


async def measure(
    attack: Attack, cluster: Cluster, base_mb: float, baseline: Figures | None, seconds: float
) -> Outcome:
    """Run an attack for some seconds."""
    await fill(cluster, attack.records)
    before = cluster.resident_mb
    cluster.forget_highest()
    target = Target(cluster.address.host, cluster.address.port, nursery=None)  # type: ignore[arg-type]

    async def beside() -> None:
        await trio.sleep(LEAD_SECONDS)
        await _attack(attack, Scene(cluster, target), seconds)
        await trio.sleep(LEAD_SECONDS)

    seen = await with_innocents(cluster, seconds + 2 * LEAD_SECONDS, beside)
    highest = cluster.highest_mb
    await trio.sleep(QUIET_SECONDS)
    memory = Memory(before, highest, cluster.resident_mb)
    problems = problems_of(seen, memory, base_mb, baseline)
    return Outcome(attack.name, seen, memory, target.ending.text(), base_mb, problems)


async def _attack(attack: Attack, scene: Scene, seconds: float) -> None:
    async with trio.open_nursery() as nursery:
        scene.target.nursery = nursery
        with trio.move_on_after(seconds):
            try:
                await attack.run(scene)
            except* (OSError, RpcError) as errors:
                scene.target.ending.statuses[str(errors.exceptions[0])[:80]] += 1
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    await scene.target.end()


async def with_innocents(
    cluster: Cluster, seconds: float, beside: Callable[[], Awaitable[None]]
) -> dict[str, dict[str, object]]:
    """Do something while innocent clients call; gives what they saw."""
    request = innocents.as_json(cluster.request(seconds))
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "attacks.innocents", request], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = b""
    try:
        with trio.fail_after(READY_SECONDS):
            while not said.startswith(b"ready\n"):
                part = await process.stdout.receive_some()
                if not part:
                    raise BenchmarkError("the innocent clients were not answered before the attack")
                said += part
        await beside()
        with trio.fail_after(READY_SECONDS):
            while part := await process.stdout.receive_some():
                said += part
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    seen: dict[str, dict[str, object]] = json.loads(said.split(b"\n", 1)[1])
    return seen


async def fill(cluster: Cluster, records: int) -> None:
    """Have some records of 4 KB in the cluster."""
    if not records:
        return
    async with cluster.channel() as channel:
        last = Entity(GROUP, "filled", f"id-{records - 1:08d}")
        held = await channel.unary(services.NODE_GET, encode_get(last, ack="quorum"), timeout=30)
        if not held.record.property:
            await Asker(channel).fill(
                (
                    build_property(
                        Entity(GROUP, "filled", f"id-{number:08d}"), {"n": number, "text": "x" * 4000}
                    )
                    for number in range(records)
                ),
                keep_versions=False,
            )


assert BATCH_RECORDS * 4100 < 4 << 20, "a batch of an import fits into a message"
