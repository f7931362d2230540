"""What those who run a node should know of its certificates: which line is said for which dates and names.

No rule here refuses a certificate. That is up to TLS, at each connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gossipnode.core.access.name_patterns import node_names

DAY_SECONDS = 24 * 3600
SOON_SECONDS = 14 * DAY_SECONDS
"""A certificate that ends within this time is told of."""

TOLD_AGAIN_SECONDS = DAY_SECONDS
"""How often the log repeats what is still wrong."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What one certificate says. `begins` and `ends` are in seconds since 1970; `ends` is its last one."""

    file: str
    subject: str
    names: tuple[str, ...]
    """Its DNS names."""
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class NodeCertificates:
    """What the files of `[tls]` say."""

    file: str
    """That of the node's own certificate."""
    own: CertificateFacts | None
    """None if not even a peer that trusts it by itself takes it."""
    authorities: tuple[CertificateFacts, ...]
    refusal: str = ""
    """Why a peer that trusts these authorities refuses the certificate, whatever its dates and names are."""


def certificate_warnings(
    certificates: NodeCertificates, node: str, patterns: Sequence[str], now_seconds: float
) -> list[str]:
    """A line for each thing that is wrong now, or soon, with the file and what to do.

    `node` is the node's own name, `patterns` are those of `[tls] members`.
    """
    return [*_of_own(certificates, node, patterns, now_seconds), *_of_authorities(certificates, now_seconds)]


def seconds_to_next_word(certificates: NodeCertificates, now_seconds: float) -> float:
    """In how many seconds the log says again what is wrong: each day, and as soon as a certificate ends."""
    own = () if certificates.own is None else (certificates.own,)
    ended_in = [each.ends + 1 - now_seconds for each in (*own, *certificates.authorities)]
    return min(
        (seconds for seconds in ended_in if 0 < seconds < TOLD_AGAIN_SECONDS), default=TOLD_AGAIN_SECONDS
    )


def shown_date(seconds: int) -> str:
    """A moment as it is told to people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _of_own(
    certificates: NodeCertificates, node: str, patterns: Sequence[str], now_seconds: float
) -> Iterator[str]:
    own = certificates.own
    if own is not None:
        problem = _problem_of_dates(own, now_seconds)
        if problem:
            yield f"{own.file}: the node's certificate {problem}: put a new one there and send SIGHUP"
        if node not in node_names(own.names, patterns):
            named = ", ".join(own.names) or "nobody"
            yield (
                f"{own.file}: the node's certificate names {named}, not {node}, so other members refuse it: "
                f"put one there that names {node} and send SIGHUP"
            )
    if certificates.refusal:
        yield (
            f"{certificates.file}: members with the same CA file refuse the node's certificate "
            f"({certificates.refusal}): put one there that a CA of that file has signed, for servers and for "
            "clients, and send SIGHUP"
        )


def _of_authorities(certificates: NodeCertificates, now_seconds: float) -> Iterator[str]:
    for authority in certificates.authorities:
        problem = _problem_of_dates(authority, now_seconds)
        if problem:
            yield (
                f"{authority.file}: the CA {authority.subject} {problem}: add a new CA to the file on every "
                "node, send SIGHUP, and give the nodes certificates of it"
            )


def _problem_of_dates(certificate: CertificateFacts, now_seconds: float) -> str:
    if now_seconds > certificate.ends:
        return f"expired on {shown_date(certificate.ends)}"
    if now_seconds < certificate.begins:
        return f"is not valid before {shown_date(certificate.begins)} (if it should be, check the clock)"
    left = certificate.ends - now_seconds
    if left > SOON_SECONDS:
        return ""
    days = int(left // DAY_SECONDS)
    within = "within a day" if not days else "in 1 day" if days == 1 else f"in {days} days"
    return f"ends on {shown_date(certificate.ends)}, {within}"
