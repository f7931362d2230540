"""The links between hosts: how long bytes take, what is wrong with a link, and whom it concerns."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf

import pytest

from gossipnode.sim.world.links import BUFFER_BYTES, Link, Links, Pair

AB, BA, AC = ("a", "b"), ("b", "a"), ("a", "c")


@dataclass(eq=False)
class Noted:
    """A connection that notes what is done to it."""

    links: Links
    opened: Pair
    done: list[object] = field(default_factory=list[object])

    def __post_init__(self) -> None:
        self.links.opened(self)

    def reset(self) -> None:
        self.done.append("reset")

    def end(self, host: str, *, told: bool) -> None:
        self.done.append(("end", host, told))

    def revive(self, host: str) -> None:
        self.done.append(("revive", host))

    def hold(self, link: Link) -> None:
        self.done.append(("hold", link.pair))

    def resend(self, link: Link) -> None:
        self.done.append(("resend", link.pair))

    def take_done(self) -> list[object]:
        done, self.done = self.done, []
        return done


def new_links(*latency: float) -> Links:
    return Links(random.Random(7), (latency[0], latency[-1])) if latency else Links(random.Random(7))


def test_a_link_of_which_nothing_was_said_carries_everything_at_once() -> None:
    link = new_links().link("a", "b")
    assert link.instant
    assert link.arrival(10**9, 5.0) == 5.0
    assert link.buffer_bytes == BUFFER_BYTES
    assert not link.cut


def test_a_link_is_one_direction_and_always_the_same_one() -> None:
    links = new_links()
    links.set_latency(AB, 1.0, 1.0)
    assert links.link("a", "b") is links.link("a", "b")
    assert links.link("a", "b").arrival(1, 0.0) == 1.0
    assert links.link("b", "a").arrival(1, 0.0) == 0.0


def test_latencies_are_drawn_between_their_bounds_from_the_randomness_given() -> None:
    def draws() -> list[float]:
        link = new_links(0.25, 0.5).link("a", "b")
        assert not link.instant
        return [link.arrival(1, 10.0) for _ in range(100)]

    drawn = draws()
    assert all(10.25 <= time <= 10.5 for time in drawn)
    assert max(drawn) - min(drawn) > 0.2
    assert drawn == draws()


def test_a_host_reaches_itself_at_once_whatever_the_usual_latency() -> None:
    links = new_links(1.0)
    assert links.link("a", "a").instant
    assert links.link("a", "b").delay() == 1.0


def test_bytes_queue_for_the_bandwidth_of_a_link() -> None:
    links = new_links(1.0)
    links.set_bandwidth(AB, 100)
    link = links.link("a", "b")
    assert [link.arrival(50, 0.0), link.arrival(50, 0.0), link.arrival(100, 7.0)] == [1.5, 2.0, 9.0]
    links.set_bandwidth(AB, None)
    assert link.arrival(10**6, 7.5) == 8.5


@pytest.mark.parametrize(("shortest", "longest"), [(-1.0, 1.0), (2.0, 1.0), (0.0, inf)])
def test_a_latency_that_cannot_be_is_refused(shortest: float, longest: float) -> None:
    with pytest.raises(ValueError, match="latency"):
        new_links().set_latency(AB, shortest, longest)


def test_a_bandwidth_or_buffer_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="drop"):
        new_links().set_bandwidth(AB, 0)
    with pytest.raises(ValueError, match="buffer"):
        new_links().set_buffer(AB, 0)


def test_a_cut_resets_what_was_opened_in_its_direction_until_it_is_mended() -> None:
    links = new_links()
    cut, other_way, elsewhere = Noted(links, AB), Noted(links, BA), Noted(links, AC)
    links.cut(AB)
    assert [each.take_done() for each in (cut, other_way, elsewhere)] == [["reset"], [], []]
    assert links.link("a", "b").cut
    assert not links.link("b", "a").cut
    links.mend(AB)
    assert not links.link("a", "b").cut
    assert cut.done == []  # what is under way on a link that was not dropped does not begin anew


def test_what_is_dropped_is_held_in_one_direction_on_connections_of_both() -> None:
    links = new_links(1.0)
    connections = [Noted(links, AB), Noted(links, BA)]
    elsewhere = Noted(links, AC)
    links.drop(AB)
    assert [each.take_done() for each in connections] == [[("hold", AB)]] * 2
    assert links.link("a", "b").arrival(1, 0.0) == inf
    assert links.link("b", "a").arrival(1, 0.0) == 1.0
    links.mend(AB)
    assert [each.take_done() for each in connections] == [[("resend", AB)]] * 2
    assert links.link("a", "b").arrival(1, 0.0) == 1.0
    assert elsewhere.done == []


def test_a_dropped_link_is_not_instant() -> None:
    links = new_links()
    links.drop(AB)
    assert not links.link("a", "b").instant
    links.mend(AB)
    assert links.link("a", "b").instant


def test_a_new_rate_holds_for_what_is_under_way() -> None:
    links = new_links()
    connection = Noted(links, AB)
    links.set_bandwidth(AB, 10)
    links.link("a", "b").arrival(1000, 0.0)
    links.set_bandwidth(AB, 1000)
    assert links.link("a", "b").arrival(1000, 0.0) == 1.0
    assert connection.done == [("resend", AB)] * 2


def test_healing_makes_all_links_as_they_were() -> None:
    links = new_links(0.5)
    connection = Noted(links, AB)
    links.set_latency(AB, 2.0, 3.0)
    links.set_bandwidth(AB, 1)
    links.set_buffer(AB, 1)
    links.cut(AB)
    links.drop(BA)
    links.link("a", "b").arrival(1000, 0.0)
    connection.take_done()
    links.heal()
    for link in (links.link("a", "b"), links.link("b", "a")):
        assert (link.arrival(1, 1.0), link.buffer_bytes, link.cut) == (1.5, BUFFER_BYTES, False)
    assert connection.take_done() == [("resend", AB), ("resend", BA)]
    links.heal()
    assert connection.take_done() == []


def test_a_host_that_ends_concerns_its_own_connections() -> None:
    links = new_links()
    from_b, to_b, elsewhere = Noted(links, BA), Noted(links, AB), Noted(links, AC)
    links.end("b")
    links.half_open("b")
    links.revive("b")
    for connection in (from_b, to_b):
        assert connection.done == [("end", "b", True), ("end", "b", False), ("revive", "b")]
    assert elsewhere.done == []


def test_connections_that_are_closed_are_forgotten() -> None:
    links = new_links()
    closed, open_ = Noted(links, AB), Noted(links, AB)
    links.closed(closed)
    links.closed(closed)
    links.reset(AB)
    assert (closed.done, open_.done) == ([], ["reset"])


async def test_who_waits_to_connect_is_told_of_every_change() -> None:
    links = new_links()
    pending = [links.changed.pending]
    links.cut(AB)
    pending.append(links.changed.pending)
    links.mend(AB)
    pending.append(links.changed.pending)
    links.heal()
    assert all(change.is_set() for change in pending)
