"""What a suite found, and whether that is what was expected: data and pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree


class SuiteError(Exception):
    """A suite could not be run to its end; the message says why."""


class Unavailable(Exception):  # noqa: N818 - no error: this machine lacks something
    """What all suites need is not here; the message says what."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a suite. `failure` says what was wrong in one line; empty if the case passed."""

    name: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """All cases of one suite."""

    name: str
    cases: Sequence[Case]

    @property
    def passed(self) -> int:
        return sum(not case.failure for case in self.cases)


def problems(suite: Suite, allowed: Mapping[str, str]) -> Iterator[str]:
    """One line for each case that did not end as expected. `allowed` has reasons by the names of cases."""
    if not suite.cases:
        yield "the suite has run no case"
    for case in suite.cases:
        if case.failure and case.name not in allowed:
            yield f"{case.name} failed: {case.failure}"
        elif not case.failure and case.name in allowed:
            yield f"{case.name} passes: take it out of the allowed failures"
    for name in sorted(allowed.keys() - {case.name for case in suite.cases}):
        yield f"{name} is an allowed failure, but the suite has no such case"


def told(suite: Suite, allowed: Mapping[str, str]) -> str:
    """A suite in one line."""
    line = f"{suite.name}: {suite.passed} of {len(suite.cases)} passed"
    return f"{line}, {len(allowed)} may fail" if allowed else line


def read_junit(report: str) -> list[Case]:
    """The cases of a JUnit report of h2spec, named by section and place in it, such as `http2/6.5/2`.

    Raises SuiteError for a text that is no such report.
    """
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError as error:
        raise SuiteError(f"h2spec wrote a report that cannot be read: {error}") from error
    cases = []
    for group in root.iter("testsuite"):
        for number, test in enumerate(group.iter("testcase"), 1):
            cases.append(Case(f"{test.get('package')}/{number}", _failure(test)))
    return cases


def _failure(test: ElementTree.Element) -> str:
    if test.find("skipped") is not None:
        return f"{test.get('classname')}: was skipped"
    for kind in ("failure", "error"):
        if (found := test.find(kind)) is not None:
            words = " | ".join(line.strip() for line in (found.text or "").splitlines() if line.strip())
            return f"{test.get('classname')}: {words}"
    return ""
