"""The writer's thread: it commits together the jobs that tasks hand in, and then wakes these tasks at once.

A task waits for room before it hands in a job, so the queue stays bounded. A job that has been handed in is
carried out even if its task is cancelled.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.waker import Waker
from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.marks import Marks
from gossipnode.store.follower import StoreFollower
from gossipnode.store.interface import IndexRows, StoreClosedError, StoreError, StoreFullError
from gossipnode.store.sqlite.commit import Committer, Stored
from gossipnode.store.sqlite.disk.disk_space import DiskSpace
from gossipnode.store.sqlite.disk.reserve import give_up_reserve
from gossipnode.store.sqlite.jobs import (
    Job,
    LogJob,
    RemoveJob,
    StepJob,
    WriteJob,
    job_growth_bytes,
    job_weight,
)
from gossipnode.store.sqlite.sqlite_errors import StoreBusyError, damaged, no_space, store_error
from gossipnode.store.sqlite.tables.damage import DamageError
from gossipnode.store.store_figures import CommitFigures

WRITE_QUEUE_RECORDS = 4096
WRITE_QUEUE_BYTES = 32 << 20
"""What may wait for the writer. A single job that is larger waits until nothing else does."""

COMMIT_RECORDS = 256
COMMIT_BYTES = 8 << 20
"""A commit takes jobs until it has this many records or bytes; the last job may exceed them."""

FREE_FEW = 4
"""What a step that frees space does at least: a reserve has room for as many records, of any size."""


@dataclass(slots=True, eq=False)
class _Queued:
    job: Job
    records: int
    bytes: int
    task: trio.lowlevel.Task
    error: StoreError | None = None


class Writer:
    """A thread that is handed one batch of jobs at a time. Made, used and stopped on the Trio thread.

    The loop puts a batch together after every task that is ready has had its turn. If the thread took jobs
    from the queue itself, it would begin with the first one, and those just after it would wait for another
    commit.
    """

    __slots__ = (
        "_batches",
        "_busy",
        "_committer",
        "_failed",
        "_flush_due",
        "_line",
        "_on_failure",
        "_path",
        "_pending",
        "_queued_bytes",
        "_queued_records",
        "_room",
        "_stopped",
        "_stopping",
        "_thread",
        "_token",
        "commits",
        "disk_changed",
        "figures",
        "followers",
        "space",
    )

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        index_rows: IndexRows,
        on_failure: Callable[[StoreError], None],
    ) -> None:
        """Start the thread. `on_failure` is called once, on the Trio thread, if the writer cannot go on."""
        self._committer = Committer(connection, index_rows)
        self._path = path
        self._on_failure = on_failure
        self._batches: queue.SimpleQueue[list[_Queued] | None] = queue.SimpleQueue()
        self._pending: deque[_Queued] = deque()
        self._busy = False
        self._flush_due = False
        self._queued_records = 0
        self._queued_bytes = 0
        self._room = Waker()
        self._line = trio.Lock()
        self._stopping = False
        self._stopped = trio.Event()
        self._failed: StoreError | None = None
        self._token = trio.lowlevel.current_trio_token()
        self.commits = 0
        """Batches that were handed to the thread."""
        self.figures = CommitFigures()
        self.followers: list[StoreFollower] = []
        """Who is told of every commit, see `StoreChanges.follow`."""
        self.disk_changed = ChangeEvent()
        self.space = DiskSpace(path, lambda: self._tell(self.disk_changed.notify))
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    @property
    def commit_number(self) -> int:
        """See `Store.commit_number`."""
        return self._committer.number

    @property
    def marks(self) -> Mapping[ShardId, Marks]:
        """The marks of all shards, as of the last commit."""
        return self._committer.marks

    async def do(self, job: Job) -> None:
        """Have a job carried out; afterwards its results are in it. Cancellable only until it is handed in.

        Raises:
            StoreError: nothing of the job was kept.
        """
        records, size = job_weight(job)
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._line.locked() or not self._has_room(records, size):
            await self._wait_for_room(records, size)
        if self._stopping:
            raise StoreClosedError("the store is closed")
        queued = _Queued(job, records, size, trio.lowlevel.current_task())
        self._pending.append(queued)
        self._queued_records += records
        self._queued_bytes += size
        self._flush_soon()
        await trio.lowlevel.wait_task_rescheduled(_no_abort)
        if queued.error is not None:
            raise queued.error

    async def free(self, step: Callable[..., int], most: int) -> None:
        """Carry out a step until it returns 0: step(connection, limit=...), which frees space.

        Where there is too little space, it is given less to do, and more again step by step. In the end the
        reserve is given up.

        Raises:
            StoreFullError: there is no space even for the shortest step.
        """
        count = most
        while True:
            job = StepJob(partial(step, limit=count), count, on_full_disk=True)
            try:
                await self.do(job)
            except StoreFullError:
                if count > FREE_FEW:
                    count = max(FREE_FEW, count // FREE_FEW)
                elif not give_up_reserve(self._path):
                    raise
            else:
                if not job.result:
                    return
                count = min(count + 1, most)

    async def spare(self, run: Callable[[sqlite3.Connection], int], *, numbered: bool = False) -> int:
        """Carry out a short step that needs next to no space, by the reserve if need be; returns its result.

        Raises:
            StoreFullError: there is no space even for that.
        """
        job = StepJob(run, numbered=numbered, on_full_disk=True)
        try:
            await self.do(job)
        except StoreFullError:
            if not give_up_reserve(self._path):
                raise
            await self.do(job)
        return job.result

    def tell_replaced(self, shards: frozenset[ShardId]) -> None:
        """See `StoreChanges.tell_replaced`. It holds from one of the next commits on."""
        self._committer.replaced_told = shards

    def tell_removed(self, shard: ShardId | None) -> None:
        """Tell followers that records of a shard are held no more; None: of some shard."""
        for follower in self.followers:
            follower.removed(shard)

    async def empty_log(self) -> None:
        """Give the space of the log back to the disk. Writes wait meanwhile, as for any long commit."""
        await self.do(LogJob())

    async def stop(self) -> None:
        """Refuse new jobs, carry out those that were handed in, and end the thread."""
        self._stopping = True
        self._room.wake()
        self._flush_soon()
        with trio.CancelScope(shield=True):
            await self._stopped.wait()
        assert not self._pending
        assert self._queued_records == self._queued_bytes == 0, "a job was taken and not carried out"

    async def _wait_for_room(self, records: int, size: int) -> None:
        # One task waits for room and the others wait behind it in line, so small jobs cannot overtake a large
        # one.
        async with self._line:
            while not self._stopping and not self._has_room(records, size):
                await self._room.sleep()

    def _has_room(self, records: int, size: int) -> bool:
        return self._queued_records == 0 or (
            self._queued_records + records <= WRITE_QUEUE_RECORDS
            and self._queued_bytes + size <= WRITE_QUEUE_BYTES
        )

    def _flush_soon(self) -> None:
        if not self._busy and not self._flush_due:
            self._flush_due = True
            self._token.run_sync_soon(self._flush)

    def _flush(self) -> None:
        """Give the thread what waits, up to the size of a commit. When nothing waits or will come, end it."""
        self._flush_due = False
        if self._busy:
            return
        batch: list[_Queued] = []
        records = size = 0
        while self._pending and records < COMMIT_RECORDS and size < COMMIT_BYTES:
            queued = self._pending.popleft()
            batch.append(queued)
            records += queued.records
            size += queued.bytes
        if batch or self._stopping:
            # From here until `_wake` the batch is the thread's; another one must wait.
            self._busy = True
            self.commits += 1
            self._batches.put(batch or None)

    def _run(self) -> None:
        """The life of the thread. What it has to say to the Trio thread goes through `_tell`."""
        while batch := self._batches.get():
            self.figures.begin()
            kept = self._commit(batch)
            jobs = [queued.job for queued in batch]
            records = sum(len(job.records) for job in jobs if isinstance(job, WriteJob))
            self.figures.end(records, kept=kept)
            self._tell(self._wake, batch, self._committer.take_stored())
        self._tell(self._stopped.set)

    def _commit(self, batch: Sequence[_Queued]) -> bool:
        """Carry out what there is space for; gives whether that was kept."""
        error = self._failed and StoreClosedError(f"the store has failed: {self._failed}")
        if error is None:
            batch, growing = self._admitted(batch)
            if not batch:
                return False
            error = self._try(batch)
            if isinstance(error, StoreFullError):
                self._committer.reuse_log()
                error = self._try(batch)
            if error is None and growing:
                self.space.grew()
        if error is None:
            return True
        if isinstance(error, StoreFullError):
            self.space.failed()
        elif not isinstance(error, StoreBusyError | StoreClosedError):
            # It is not known what the failed write has done, so nothing is certain about the file any more.
            self._failed = error
            self._tell(self._on_failure, error)
            error = StoreClosedError(f"the store has failed: {error}")
        _fail(batch, error)
        return False

    def _admitted(self, batch: Sequence[_Queued]) -> tuple[Sequence[_Queued], bool]:
        """The jobs that there is space for, and whether any makes the store grow. The others fail."""
        growth_bytes = sum(job_growth_bytes(queued.job) for queued in batch)
        if not growth_bytes or self.space.admits(growth_bytes):
            return batch, growth_bytes > 0
        growing = [queued for queued in batch if job_growth_bytes(queued.job)]
        _fail(growing, no_space(self._path))
        return [queued for queued in batch if queued.error is None], False

    def _try(self, batch: Sequence[_Queued]) -> StoreError | None:
        try:
            self._committer.keep_log_short(self.space.is_low)
            self._committer.commit([queued.job for queued in batch])
        except sqlite3.Error as raised:
            return store_error(raised, self._path)
        except DamageError as raised:
            return damaged(self._path, str(raised))
        except Exception as raised:  # noqa: BLE001 (reported: to every waiting task and to the node)
            return StoreError(f"{self._path}: {raised!r}")
        return None

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._token.run_sync_soon(function, *arguments)
        except trio.RunFinishedError:
            # The Trio run has ended without closing the store, so there is nobody to tell.
            return

    def _wake(self, batch: Sequence[_Queued], stored: Stored) -> None:
        assert self._busy, "the thread may have only one batch at a time"
        if stored:
            for follower in self.followers:
                follower.stored(stored)
        for queued in batch:
            job = queued.job
            if isinstance(job, RemoveJob) and job.removed and queued.error is None:
                for follower in self.followers:
                    follower.purged(job.shard, job.removed)
        for queued in batch:
            self._queued_records -= queued.records
            self._queued_bytes -= queued.bytes
            trio.lowlevel.reschedule(queued.task)
        self._room.wake()
        self._busy = False
        if self._pending or self._stopping:
            self._flush_soon()


def _fail(batch: Sequence[_Queued], error: StoreError) -> None:
    for queued in batch:
        # Each task gets an exception of its own, since a raised exception collects the traceback of its task.
        queued.error = type(error)(str(error))


def _no_abort(_: Callable[[], None]) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
