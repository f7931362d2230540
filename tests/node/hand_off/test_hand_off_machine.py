"""Members that join, are forgotten, crash, are cut off and lose their disks, while clients write and read.

Every key has one writer, whose values rise. Whatever is acknowledged at quorum, a quorum read from any node
that begins later must give, or a later one. Requests may fail; they may not lie.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import trio

from gossipnode.node.peers.hello import HELLO_MAX_SECONDS
from gossipnode.node.refusals.request_errors import NotStoredError, TooFewReplicasError
from gossipnode.sim import Cluster
from gossipnode.store.interface import StoreClosedError
from tests.node.moving import eventually, moving, moving_cluster, put_one, settled, tidy, value

KEYS = 10
COMMIT_SECONDS = 0.003
REQUEST_SECONDS = 8.0
STEPS = 14
JOINERS = "defg"

Act = Callable[[], Awaitable[None]]


@dataclass
class Turmoil:
    """What goes on in one run, drawn from `rng`."""

    cluster: Cluster
    nursery: trio.Nursery
    rng: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict[str, int])
    ready: set[str] = field(default_factory=set[str])
    members: set[str] = field(default_factory=set[str])
    """The nodes that were not forgotten."""
    story: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    reads: int = 0
    writes: int = 0

    def say(self, text: str) -> None:
        self.story.append(f"{trio.current_time():7.2f} {text}")

    # Clients

    async def client(self, work: Callable[[str, str], Awaitable[None]], key: str) -> None:
        while True:
            await trio.sleep(self.rng.uniform(0.3, 2.0))
            if not self.ready:
                continue
            node = self.rng.choice(sorted(self.ready))
            with trio.move_on_after(REQUEST_SECONDS):
                try:
                    await work(node, key)
                except (TooFewReplicasError, NotStoredError, StoreClosedError):
                    continue

    def writer(self) -> Callable[[str, str], Awaitable[None]]:
        value = 0

        async def write(node: str, key: str) -> None:
            nonlocal value
            value += 1
            mine = value
            await put_one(self.cluster, node, key, mine)
            self.acknowledged[key] = mine
            self.writes += 1

        return write

    async def read(self, node: str, key: str) -> None:
        least = self.acknowledged.get(key, 0)
        began = trio.current_time()
        found = await value(self.cluster, node, key)
        self.reads += 1
        if not isinstance(found, int | None) or (found or 0) < least:
            text = f"{node} read {key}={found} since {began:.2f}, acknowledged was {least}"
            self.say(text)
            self.wrong.append(text)

    # What happens to nodes

    async def start(self, name: str, **overrides: object) -> None:
        """Start a node without waiting for it."""

        async def start() -> None:
            try:
                await self.cluster.start(self.nursery, name, **overrides)
            except RuntimeError:
                return  # it was killed while it started
            if name in self.cluster.stores:
                self.cluster.stores[name].commit_seconds = COMMIT_SECONDS
            self.ready.add(name)

        self.nursery.start_soon(start)

    async def crash(self) -> None:
        name = self.pick(self.cluster.running)
        if name is not None and len(self.cluster.running) > 2:
            self.say(f"crash {name}")
            self.ready.discard(name)
            await self.cluster.end(name)

    async def restart(self) -> None:
        name = self.pick(self.members - self.cluster.running)
        if name is not None:
            self.say(f"restart {name}")
            await self.start(name)

    async def join(self) -> None:
        new = [name for name in JOINERS if name not in self.cluster.nodes and name not in self.members]
        through = self.pick(self.ready)
        if new and through is not None and not self.cluster.faults.severed:
            self.say(f"{new[0]} joins through {through}")
            self.cluster.through[new[0]] = through
            self.members.add(new[0])
            await self.start(new[0])

    async def forget(self) -> None:
        name, at = self.pick(self.members), self.pick(self.ready)
        if name is None or at is None or len(self.members) <= 3 or not self.quiet():
            return
        self.say(f"forget {name} at {at}")
        self.members.discard(name)
        await self.cluster.forget(name, at=at, force=True)

    async def lose_disk(self) -> None:
        name = self.pick(self.members)
        if name is not None and self.quiet():
            self.say(f"{name} loses its disk")
            self.ready.discard(name)
            await self.cluster.lose_disk(name)
            through = self.pick(self.ready)
            assert through is not None
            self.cluster.through[name] = through
            await self.start(name, **{"cluster.replace": True})

    async def part(self) -> None:
        name = self.pick(self.cluster.running)
        if name is not None:
            self.say(f"cut off {name}")
            await self.cluster.isolate(name)

    async def heal(self) -> None:
        self.say("heal")
        self.cluster.faults.heal()

    def pick(self, names: set[str]) -> str | None:
        return self.rng.choice(sorted(names)) if names else None

    def quiet(self) -> bool:
        """Whether no copy is lost or being moved just now. Only then may one be lost."""
        views = [self.cluster.view(name) for name in self.ready]
        return (
            self.ready == self.members
            and not self.cluster.faults.severed
            and all(view.is_settled and set(view.members) == self.members for view in views)
        )

    async def run(self, steps: int) -> None:
        """Take this number of steps, each at any moment of what the step before has set off."""
        acts: list[tuple[Act, int]] = [
            (self.crash, 4),
            (self.restart, 5),
            (self.join, 3),
            (self.forget, 4),
            (self.lose_disk, 2),
            (self.part, 4),
            (self.heal, 3),
        ]
        for _ in range(steps):
            (act,) = self.rng.choices([act for act, _ in acts], [weight for _, weight in acts])
            await act()
            self.ready &= self.cluster.running
            await trio.sleep(self.rng.choice([0.01, 0.3, 1.0, 3.0, 10.0]))
            self.ready &= self.cluster.running


async def turmoil(seed: int, replicas: int = 3, steps: int = STEPS) -> Turmoil:
    """One run. It ends when all faults are healed and all members are settled."""
    rng = random.Random(seed)
    cluster = moving_cluster(names="abc" if replicas > 1 else "ab", groups=(f"sw:4:{replicas}",), seed=seed)
    async with moving(cluster) as nursery:
        run = Turmoil(cluster, nursery, rng)
        for name in cluster.names:
            cluster.stores[name].commit_seconds = COMMIT_SECONDS
        run.ready |= set(cluster.names)
        run.members |= set(cluster.names)
        keys = [f"n/{number}" for number in range(KEYS)]

        async def clients(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            async with trio.open_nursery() as all_clients:
                for key in keys:
                    all_clients.start_soon(run.client, run.writer(), key)
                    all_clients.start_soon(run.client, run.read, key)
                task_status.started(all_clients.cancel_scope)

        try:
            at_work = await nursery.start(clients)
            await run.run(steps)
            await run.heal()
            for name in sorted(run.members - cluster.running):
                await run.start(name)
            await eventually(lambda: run.ready >= run.members, "all have started")
            await settled(cluster, run.members)
            at_work.cancel()
            # A member that failed a moment ago is not asked again at once, although all are there now.
            await trio.sleep(HELLO_MAX_SECONDS)
            for name in sorted(run.members):
                for key in keys:
                    await run.read(name, key)
            await tidy(cluster)
        except BaseException:
            print(f"seed {seed}:", *run.story, sep="\n")
            raise
        if run.wrong:
            print(f"seed {seed}:", *run.story, sep="\n")
    return run


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_what_is_acknowledged_is_never_lost_nor_hidden(
    seed: int, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio._core._run._r", random.Random(seed))
    run = await turmoil(seed)
    assert run.wrong == []
    assert run.writes
    assert run.reads
