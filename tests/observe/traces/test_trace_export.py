"""When traces are sent, and what is said where that is not possible."""

from __future__ import annotations

import sys

import pytest
from structlog.testing import capture_logs

from gossipnode.observe.traces.trace_export import SdkMissingError, check_sdk, traces_sent, traces_wanted

SDK = "opentelemetry.sdk.trace"


@pytest.mark.parametrize(
    ("endpoint", "environ", "wanted"),
    [
        ("", {}, False),
        ("http://h", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, True),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ("http://h", {"OTEL_SDK_DISABLED": "TRUE"}, False),
        ("http://h", {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_when_traces_are_sent(endpoint: str, environ: dict[str, str], wanted: bool) -> None:
    assert traces_wanted(endpoint, environ) == wanted


def test_a_setting_without_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_sdk("http://h", {})
    monkeypatch.setitem(sys.modules, SDK, None)
    with pytest.raises(SdkMissingError, match=r"^\[traces\] endpoint: .*pip install 'gossipnode\[traces\]'$"):
        check_sdk("http://h", {})
    check_sdk("", {})


async def test_an_environment_for_others_without_the_sdk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, SDK, None)
    with capture_logs() as lines:
        async with traces_sent("a", "", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}):
            pass
    assert [(line["log_level"], line["todo"]) for line in lines] == [
        ("warning", "pip install 'gossipnode[traces]'")
    ]
