"""One process for a data directory: an exclusive lock that is held as long as the store is open.

The kernel releases the lock when the process ends, even if it is killed, so a lock is never stale. The lock
is on the directory itself, because the lock file may be removed while a node runs. The lock file is locked
too: an older gossipnode knows only that one. A child that the process forks closes its copies of the
descriptors, so that it cannot keep the lock after its parent has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gossipnode.store.interface import StoreLockedError

LOCK_NAME = "store.lock"
_PID_MAX_BYTES = 32


class DirectoryLock:
    """The lock on a data directory. Making the object takes the lock."""

    __slots__ = ("__weakref__", "_descriptors")

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            StoreLockedError: another process has it; the message names the process.
            OSError: the directory cannot be written to.
        """
        with contextlib.ExitStack() as undo:
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, folder)
            try:
                _lock_directory(folder)
                file = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLockedError(
                    f"{directory} is in use by another process (pid {_holder(directory)}): stop that node, or"
                    " give this one a data directory of its own"
                ) from None
            # The pid only makes the message more helpful. A full disk, where it cannot be written, is no
            # reason to fail.
            with contextlib.suppress(OSError):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            self._descriptors = [folder, file]
            undo.pop_all()
        _held.add(self)

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        _held.discard(self)
        while self._descriptors:
            os.close(self._descriptors.pop())


@contextmanager
def locked_to_read(directory: Path) -> Generator[None]:
    """Hold the locks that there are, without writing anything: the directory may be a copy that is read-only.

    Raises:
        StoreLockedError: another process has one of them; the message names the process.
    """
    with contextlib.ExitStack() as stack:
        for path, modes in (
            (directory, (os.O_RDONLY | os.O_DIRECTORY,)),
            # Some network file systems lock only what is open for writing.
            (directory / LOCK_NAME, (os.O_RDWR, os.O_RDONLY)),
        ):
            descriptor = _open_as_allowed(path, modes)
            if descriptor is None:
                continue
            stack.callback(os.close, descriptor)
            try:
                _lock_directory(descriptor)
            except BlockingIOError:
                raise StoreLockedError(
                    f"{directory} is in use by another process (pid {_holder(directory)}): stop that node"
                ) from None
        yield


def _open_as_allowed(path: Path, modes: Sequence[int]) -> int | None:
    """Open a path in the first way that is possible; None if it is not there, or may not be read."""
    for mode in modes:
        with contextlib.suppress(OSError):
            return os.open(path, mode | os.O_CLOEXEC)
    return None


def _lock_directory(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Some network file systems lock only what is open for writing, and a directory never is. The lock on
        # the file must then do.
        return


def _holder(directory: Path) -> str:
    """The pid of the process that took the lock, or "unknown" if it cannot be told."""
    try:
        pid = int((directory / LOCK_NAME).read_bytes()[:_PID_MAX_BYTES])
        # A process of another user may not be signalled, but it is there.
        with contextlib.suppress(PermissionError):
            os.kill(pid, 0)
    except (OSError, ValueError, OverflowError):
        return "unknown"
    return str(pid)


_held: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()
"""The locks of this process, which a forked child has to let go of."""


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
