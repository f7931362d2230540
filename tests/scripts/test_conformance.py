"""The pure parts of scripts/conformance: what a suite found, what is allowed, and the edits of h2spec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance_suites import command, go_tools
from conformance_suites.allowed import ALLOWED
from conformance_suites.edits import EDITS, Edit, edited
from conformance_suites.interop_client import CASES
from conformance_suites.results import Case, Suite, SuiteError, problems, read_junit, told

SUITE = Suite("s", [Case("a"), Case("b", "no answer"), Case("c")])

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="6.5. SETTINGS" package="http2/6.5" id="6.5" tests="3" failures="0" errors="1">
    <testcase package="http2/6.5" classname="Acknowledged" time="0.1"></testcase>
    <testcase package="http2/6.5" classname="On a stream" time="2">
      <error>GOAWAY Frame
Connection closed
Timeout</error>
    </testcase>
    <testcase package="http2/6.5" classname="Later" time="0"><skipped></skipped></testcase>
  </testsuite>
  <testsuite name="2. Streams" package="generic/2" id="2" tests="1">
    <testcase package="generic/2" classname="Idle" time="0"></testcase>
  </testsuite>
</testsuites>
"""


def test_a_report_is_read() -> None:
    assert read_junit(REPORT) == [
        Case("http2/6.5/1"),
        Case("http2/6.5/2", "On a stream: GOAWAY Frame | Connection closed | Timeout"),
        Case("http2/6.5/3", "Later: was skipped"),
        Case("generic/2/1"),
    ]


def test_a_report_that_is_none_is_told() -> None:
    with pytest.raises(SuiteError, match="cannot be read"):
        read_junit("<testsuites><testsuite>")


def test_a_failure_that_is_not_allowed() -> None:
    assert list(problems(SUITE, {})) == ["b failed: no answer"]


def test_an_allowed_failure_is_no_problem_and_is_counted() -> None:
    assert list(problems(SUITE, {"b": "why"})) == []
    assert told(SUITE, {"b": "why"}) == "s: 2 of 3 passed, 1 may fail"
    assert told(SUITE, {}) == "s: 2 of 3 passed"


def test_an_allowed_failure_that_passes_or_is_unknown_is_told() -> None:
    assert list(problems(SUITE, {"b": "why", "c": "why", "d": "why"})) == [
        "c passes: take it out of the allowed failures",
        "d is an allowed failure, but the suite has no such case",
    ]


def test_a_suite_that_ran_nothing_has_not_passed() -> None:
    assert list(problems(Suite("s", []), {})) == ["the suite has run no case"]


def test_every_allowed_failure_has_a_reason() -> None:
    assert all(reason for cases in ALLOWED.values() for reason in cases.values())


WHOLE = "hp := Param{\n  EndStream:     true,\n  EndHeaders: true,\n}\nconn.WriteHeaders(hp)\n"


def test_a_request_that_ends_with_its_head_gets_a_message() -> None:
    edit = next(edit for edit in EDITS if edit.file.startswith("http2/5_1_2"))
    changed = edited(WHOLE, edit)
    assert "EndStream:     false," in changed
    assert changed.endswith("conn.WriteHeaders(hp)\nconn.WriteData(streamID, true, spec.EmptyMessage())\n")


def test_an_edit_must_find_its_places() -> None:
    with pytest.raises(SuiteError, match=r"a\.go of h2spec has 2 places for an edit, not 1"):
        edited("xx", Edit("a.go", "x", "y"))


def test_versions_are_those_of_go_mod() -> None:
    versions = go_tools.module_versions((go_tools.FILES / "go.mod").read_text(encoding="utf-8"))
    assert versions.keys() >= {go_tools.H2SPEC, go_tools.GRPC}


def test_both_directions_have_the_same_cases() -> None:
    client = (go_tools.FILES / "client.go").read_text(encoding="utf-8")
    assert all(f'"{case.__name__}"' in client for case in CASES)


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "skipped: Go is not installed"), (["--json"], json.dumps({"skipped": "Go is not installed"}))],
)
def test_without_go_it_is_skipped(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        command.main(options)
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{said}\n"
