"""Ports on loopback that a test keeps for its nodes, also while none of them listens.

A port that was free when somebody looked may be another's by the time a node listens at it, or once a node
has stopped that is to start again. Several processes run tests at the same time, so that does happen.
"""

from __future__ import annotations

import socket
import sys

LOOPBACK = "127.0.0.1"


class Ports:
    """Ports that are held until they are given back."""

    def __init__(self) -> None:
        self._holders: list[socket.socket] = []

    def take(self, count: int) -> list[int]:
        """Different ports at which nobody listens."""
        return [self._hold(0) for _ in range(count)]

    def take_row(self, count: int) -> int:
        """Give the first of several ports in a row at which nobody listens."""
        for _ in range(100):
            first = self._hold(0)
            try:
                for port in range(first + 1, first + count):
                    self._hold(port)
            except (OSError, OverflowError):
                continue
            return first
        raise AssertionError("no free ports in a row")

    def address(self) -> str:
        """An address with a port at which nobody listens."""
        (port,) = self.take(1)
        return f"{LOOPBACK}:{port}"

    def give_back(self) -> None:
        """Let others have them. Harmless when repeated."""
        for each in self._holders:
            each.close()
        self._holders.clear()

    def _hold(self, port: int) -> int:
        """Hold a port, any one for 0. Raises OSError where somebody else has it, or holds it as we do."""
        holder = socket.socket()
        try:
            holder.bind((LOOPBACK, port))
            # Only now, so that two holders never share a port. It lets a node listen there, since we do not.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            holder.close()
            raise
        number: int = holder.getsockname()[1]
        if sys.platform == "linux":
            self._holders.append(holder)
        else:
            # Elsewhere a port that is bound cannot be listened at by another socket.
            holder.close()
        return number
