"""Which line is said for which dates and names of a node's certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gossipnode.core.access.certificate_rules import (
    DAY_SECONDS,
    SOON_SECONDS,
    CertificateFacts,
    NodeCertificates,
    certificate_warnings,
    seconds_to_next_word,
)

BEGINS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
ENDS = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
GOOD = BEGINS + DAY_SECONDS
OWN = CertificateFacts("a.pem", "a", ("a", "localhost"), BEGINS, ENDS)
AUTHORITY = CertificateFacts("ca.pem", "our CA", (), BEGINS - DAY_SECONDS, ENDS + 30 * DAY_SECONDS)
BOTH = NodeCertificates("a.pem", OWN, (AUTHORITY,))


def warnings(
    certificates: NodeCertificates = BOTH, node: str = "a", patterns: tuple[str, ...] = (), now: float = GOOD
) -> list[str]:
    return certificate_warnings(certificates, node, patterns, now)


def test_good_certificates_are_not_told_of() -> None:
    assert warnings() == []
    for now in (BEGINS, ENDS - SOON_SECONDS - 1):
        assert warnings(now=now) == []


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (BEGINS - 1, "is not valid before 2026-01-01 00:00 UTC (if it should be, check the clock)"),
        (ENDS - SOON_SECONDS, "ends on 2027-01-01 00:00 UTC, in 14 days"),
        (ENDS - DAY_SECONDS - 1, "ends on 2027-01-01 00:00 UTC, in 1 day"),
        (ENDS - 5, "ends on 2027-01-01 00:00 UTC, within a day"),
        (ENDS, "ends on 2027-01-01 00:00 UTC, within a day"),
        (ENDS + 1, "expired on 2027-01-01 00:00 UTC"),
    ],
)
def test_the_dates_of_the_nodes_certificate(now: float, problem: str) -> None:
    todo = "put a new one there and send SIGHUP"
    assert warnings(now=now) == [f"a.pem: the node's certificate {problem}: {todo}"]


def test_the_dates_of_each_authority() -> None:
    old = replace(AUTHORITY, subject="old CA", ends=GOOD - 1)
    coming = replace(AUTHORITY, subject="next CA", begins=GOOD + 1)
    first, second = warnings(NodeCertificates("a.pem", OWN, (AUTHORITY, old, coming)))
    assert first.startswith("ca.pem: the CA old CA expired on 2026-01-01 23:59 UTC: add a new CA to the file")
    assert second.startswith("ca.pem: the CA next CA is not valid before 2026-01-02 00:00 UTC")


def test_a_certificate_that_does_not_name_the_node() -> None:
    (line,) = warnings(node="b")
    assert line == (
        "a.pem: the node's certificate names a, localhost, not b, so other members refuse it: "
        "put one there that names b and send SIGHUP"
    )
    (line,) = warnings(replace(BOTH, own=replace(OWN, names=())))
    assert "names nobody, not a" in line


def test_a_certificate_may_name_the_node_by_the_first_label_of_a_members_name() -> None:
    certificates = replace(BOTH, own=replace(OWN, names=("a.nodes.example",)))
    assert warnings(certificates, patterns=("*.nodes.example",)) == []
    assert len(warnings(certificates)) == 1


def test_a_certificate_that_no_peer_would_take() -> None:
    (line,) = warnings(replace(BOTH, refusal="unable to get local issuer certificate"))
    assert line.startswith("a.pem: members with the same CA file refuse")
    assert "(unable to get local issuer certificate)" in line
    (line,) = warnings(NodeCertificates("a.pem", None, (), "unsuitable certificate purpose"))
    assert "(unsuitable certificate purpose)" in line


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (GOOD, DAY_SECONDS),
        (ENDS - DAY_SECONDS - 1, DAY_SECONDS),
        (ENDS - 3600, 3601),
        (ENDS + 1, DAY_SECONDS),
        (AUTHORITY.ends - 10, 11),
    ],
)
def test_the_end_of_a_certificate_is_told_when_it_comes(now: float, seconds: float) -> None:
    assert seconds_to_next_word(BOTH, now) == seconds
    assert warnings(now=now + seconds) != [] or seconds == DAY_SECONDS


def test_without_certificates_a_day_passes() -> None:
    assert seconds_to_next_word(NodeCertificates("a.pem", None, ()), GOOD) == DAY_SECONDS
