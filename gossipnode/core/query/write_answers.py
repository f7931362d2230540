"""What replicas say to a write, and whether that is an acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gossipnode.core.model.property import Record
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.replica_messages import RecordsWritten, Refusal, ReplicaReply

_NO_REASON: Final = "refused it without a reason"
"""An empty reason would count as an acknowledgement."""


class WriteAnswers:
    """Judges the answers to the write of some records. Only a replica that took all of them counts."""

    def __init__(
        self, records: Sequence[Record], *, newer_counts: bool = False, names_records: bool = False
    ) -> None:
        """With `newer_counts`, a replica that holds a newer version acknowledges the write.

        With `names_records`, the reason of a refusal names the record.
        """
        self.overtaken = False
        """Whether a replica holds a newer version of one of the records, which does not count."""
        self.newest_stamp = 0
        """The largest stamp of these, in nanoseconds, as far as replicas told it."""
        self._records = records
        self._newer_counts = newer_counts
        self._names_records = names_records

    def take(self, _replica: str, reply: ReplicaReply) -> str:
        """Why an answer is not an acknowledgement; "" when it is one."""
        if isinstance(reply, Refusal):
            return reply.message or _NO_REASON
        if not isinstance(reply, RecordsWritten) or len(reply.results) != len(self._records):
            return "its answer does not fit"
        reason = ""
        for record, result in zip(self._records, reply.results, strict=True):
            if result.outcome is WriteOutcome.REFUSED:
                problem = result.problem or _NO_REASON
                return f"{record.entity.text}: {problem}" if self._names_records else problem
            if result.outcome is WriteOutcome.OLDER and not self._newer_counts:
                self.overtaken = True
                if result.version is not None:
                    self.newest_stamp = max(self.newest_stamp, result.version.stamp)
                reason = "has a newer version"
        return reason
