"""The status page of a real node in a real browser: it fits every screen, and names stay text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.nodes import Nodes
from tests.system.processes import command, eventually
from tests.system.status.browser import CHROMIUM, Browser, open_browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]

HOSTILE = "<img src=x onerror=document.title='owned'>"
HOSTILE_TAG = "<script>document.write(1)</script>"


@pytest.fixture(scope="module")
def page(module_nodes: Nodes) -> Iterator[tuple[Browser, str]]:
    status = module_nodes.ports.address()
    (node,) = module_nodes.start("a", groups=("sw:2:1",), settings={"node": {"status_listen": status}})
    at = ("--at", node.address)
    assert command("group", "create", HOSTILE, "--shards", "1", "--replicas", "1", *at).code == 0
    applied = command("apply", f"sw/{HOSTILE}/{HOSTILE}", f"{HOSTILE_TAG}={HOSTILE}", "x=\x1b[2J", *at)
    assert applied.code == 0, applied.err
    with open_browser(module_nodes.directory) as browser:
        yield browser, f"http://{status}/"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_it_fits_a_phone_a_tablet_and_a_desk(page: tuple[Browser, str], width: int, dark: bool) -> None:
    browser, url = page
    browser.show(url, width=width, dark=dark)
    browser.wait("byId('link').textContent === 'live'")
    assert browser.value("document.documentElement.scrollWidth") <= width
    ground = browser.value("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(",")))
    assert (lightness < 200) == dark
    assert browser.value("byId('node').textContent + byId('state').textContent") == "aready"


def test_what_others_chose_is_text(page: tuple[Browser, str]) -> None:
    browser, url = page
    browser.show(url)
    browser.wait("byId('link').textContent === 'live'")
    browser.wait(f"byId('groups').textContent.includes({HOSTILE!r})")
    browser.value("byId('query-group').value = 'sw'; byId('query').requestSubmit()")
    browser.wait(f"byId('records').textContent.split({HOSTILE!r}).length === 4")
    assert HOSTILE_TAG in browser.value("byId('records').textContent")
    assert browser.value("document.title") == "a · gossipnode"
    assert browser.value("document.querySelectorAll('img, body script, iframe').length") == 0
    loaded = browser.value("performance.getEntriesByType('resource').map((each) => each.name)")
    assert loaded
    assert all(name.startswith(url) for name in loaded)


def test_an_expression_finds_records_or_is_told_what_is_wrong(page: tuple[Browser, str]) -> None:
    browser, url = page
    browser.show(url)
    browser.wait("byId('link').textContent === 'live'")
    browser.value("byId('query-group').value = 'sw'; byId('query-where').value = 'x HAVING'")
    browser.value("byId('query').requestSubmit()")
    browser.wait("byId('query-said').textContent.startsWith('where: column 9: expected a value')")
    browser.value("byId('query-where').value = `x != 'a'`; byId('query').requestSubmit()")
    browser.wait("byId('query-said').textContent === '1 records'")
    browser.value("byId('query-where').value = `x = 'a'`; byId('query').requestSubmit()")
    browser.wait("byId('query-said').textContent === '0 records'")


def test_the_page_follows_the_node(page: tuple[Browser, str], module_nodes: Nodes) -> None:
    browser, url = page
    browser.show(url)
    browser.wait("byId('link').textContent === 'live'")
    node = module_nodes["a"]
    assert command("repair", "sw", "--shard", "1", "--wait", "--at", node.address).code == 0
    browser.wait("byId('rounds').textContent.includes('sw/1')")
    assert node.stop() == 0
    browser.wait("byId('link').textContent.startsWith('lost')")
    node.start()
    eventually(lambda: browser.value("byId('link').textContent === 'live'"), "page that is live again")
