"""One process for a data directory: an exclusive lock that is held as long as the store is open.

The kernel releases the lock when the process ends, even if it is killed, so a lock is never stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from gossipnode.store.interface import StoreLockedError

LOCK_NAME = "store.lock"
_PID_MAX_BYTES = 32


class DirectoryLock:
    """The lock on a data directory. Making the object takes the lock."""

    __slots__ = ("_descriptor",)

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            StoreLockedError: another process has it; the message names the process.
            OSError: the directory cannot be written to.
        """
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, _PID_MAX_BYTES).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLockedError(
                f"{directory} is in use by another process (pid {holder}): stop that node, or give this one a"
                " data directory of its own"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        # The pid only makes the message more helpful. A full disk, where it cannot be written, is no reason
        # to fail.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock. Must be called only once."""
        os.close(self._descriptor)
