"""The dashboard and the alerts ask for metrics, labels and states that a node really has."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from gossipnode.sim import Cluster
from tests.node.shown.web import get, start_with_status
from tests.records import record

PROMTOOL = shutil.which("promtool")
MONITORING = Path(__file__).parents[3] / "docs" / "monitoring"

METRIC = re.compile(r"\b(?:gossipnode|process)_\w+")
LABELLED = re.compile(r"\b((?:gossipnode|process)_\w+)\{([^}]*)\}")
GIVEN_BY_PROMETHEUS = {"instance", "le"}


def expressions(path: Path) -> list[str]:
    """What the file asks Prometheus for."""
    text = path.read_text()
    if path.suffix == ".json":
        found = [
            target["expr"] for panel in json.loads(text)["panels"] for target in panel.get("targets", ())
        ]
        variables = json.loads(text)["templating"]["list"]
        return found + [each["query"]["query"] for each in variables if each["type"] == "query"]
    return re.findall(r"^ *expr: (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", ["dashboard.json", "alerts.yml"])
async def test_what_is_asked_for_is_there(autojump_clock: object, name: str) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await start_with_status(cluster, nursery)
        await cluster.put("a", record("n/1"))
        await cluster.round("a")
        _, body = await get(cluster, "/metrics")
        cluster.stop()
    families = list(text_string_to_metric_families(body.decode()))
    # A counter that has counted nothing yet has a name and no sample.
    names = {name for family in families for name in (family.name, f"{family.name}_total")}
    names |= {sample.name for family in families for sample in family.samples}
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    asked = expressions(MONITORING / name)
    assert len(asked) > 10
    for expression in asked:
        assert set(METRIC.findall(expression)) <= names, expression
        for metric, matchers in LABELLED.findall(expression):
            wanted = set(re.findall(r"(\w+)[=!]", matchers)) - GIVEN_BY_PROMETHEUS
            assert metric not in labels or wanted <= labels[metric], expression


def test_alerts_tell_clusters_apart_and_see_nodes_that_say_nothing() -> None:
    """Members of several clusters may have the same names, and a dead node gives no metrics."""
    asked = expressions(MONITORING / "alerts.yml")
    for expression in asked:
        for labels in re.findall(r"\bby \(([^)]*)\)", expression):
            assert "instance" in labels, expression
    assert any(re.match(r"up == 0\b", expression) for expression in asked)


def test_every_alert_says_what_it_is_about() -> None:
    text = (MONITORING / "alerts.yml").read_text()
    alerts = text.split("- alert: ")[1:]
    assert len(alerts) == len(set(re.findall(r"- alert: (\w+)", text)))
    for alert in alerts:
        assert "summary: " in alert
        assert "severity: " in alert
        assert alert.count("{{") == alert.count("}}")
