"""What is answered at the status port, and to whom nothing is."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette

from gossipnode.observe.events import Events
from gossipnode.observe.http.request_guard import HEADERS
from gossipnode.observe.http.status_app import StatusApp
from tests.observe.http.asking import ask
from tests.observe.metrics.reading import key, read_metrics
from tests.observe.shown import FixedView


@pytest.fixture
def view() -> FixedView:
    return FixedView()


@pytest.fixture
def app(view: FixedView) -> Starlette:
    return StatusApp(view, Events()).application(("127.0.0.1",))


async def test_a_node_that_is_not_ready_says_why(app: Starlette, view: FixedView) -> None:
    ready = await ask(app, "/readyz")
    assert (ready.status, ready.text) == (200, "ok\n")
    view.problem = "starting: waiting for c"
    ready = await ask(app, "/readyz")
    assert (ready.status, ready.text) == (503, "starting: waiting for c\n")
    assert (await ask(app, "/livez")).status == 200


async def test_a_scrape(app: Starlette) -> None:
    answer = await ask(app, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert read_metrics(answer.body)[key("gossipnode_epoch")] == 7


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/nothing"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7480", "127.0.0.1.evil.example", "localhost.", "", "[::1", "a@::1"]
)
async def test_a_foreign_name_is_refused(app: Starlette, view: FixedView, path: str, host: str) -> None:
    """A page of evil.example, whose name was made to resolve to 127.0.0.1, sends that name."""
    answer = await ask(app, path, host=host)
    assert answer.status == 403
    assert view.asked == []


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/livez", "/readyz", "/events", "/records?group=sw", "/no"]
)
async def test_who_has_no_role_sees_nothing(app: Starlette, view: FixedView, path: str) -> None:
    view.refused = "the certificate names x, which has no role here"
    answer = await ask(app, path)
    assert (answer.status, answer.text) == (403, "the certificate names x, which has no role here\n")
    assert answer.headers["cache-control"] == "no-store"
    assert view.asked == []


async def test_under_tls_certificates_say_for_whom_requests_are(view: FixedView) -> None:
    app = StatusApp(view, Events()).application(None)
    assert (await ask(app, "/metrics", host="a.example:7480")).status == 200
    assert (await ask(app, "/metrics", host="")).status == 403
    origin = {"origin": "https://evil.example"}
    assert (await ask(app, "/metrics", host="a.example:7480", headers=origin)).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:7480", "LOCALHOST:1", "[::1]:7480", "127.0.0.1:80"])
async def test_an_own_name_is_let_in(app: Starlette, host: str) -> None:
    assert (await ask(app, "/metrics", host=host)).status == 200


async def test_two_hosts_are_refused(app: Starlette) -> None:
    assert (await ask(app, "/metrics", headers={"host": "evil.example"})).status == 403


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "", "127.0.0.1:7480", "x://y://127.0.0.1:7480"],
)
async def test_a_page_of_another_origin_is_refused(app: Starlette, view: FixedView, origin: str) -> None:
    assert (await ask(app, "/metrics", headers={"origin": origin})).status == 403
    assert view.asked == []
    assert (await ask(app, "/metrics", headers={"origin": "http://127.0.0.1:7480"})).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/nothing"])
async def test_every_answer_is_harmless_in_a_browser(app: Starlette, path: str) -> None:
    for host in ("127.0.0.1", "evil.example"):
        answer = await ask(app, path, host=host)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(app: Starlette, method: str) -> None:
    assert (await ask(app, "/metrics", method=method)).status == 405
