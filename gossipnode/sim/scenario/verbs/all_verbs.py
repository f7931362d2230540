"""Every verb of the language, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gossipnode.sim.scenario.scenario import Scenario, ScenarioError, Step, parse_scenario
from gossipnode.sim.scenario.verb import Verb
from gossipnode.sim.scenario.verbs import (
    client_verbs,
    control_verbs,
    disk_verbs,
    machine_verbs,
    network_verbs,
    operator_verbs,
    overlap_verbs,
    record_verbs,
    round_verbs,
)

VERBS: Final[Mapping[str, Verb]] = {
    **client_verbs.VERBS,
    **network_verbs.VERBS,
    **machine_verbs.VERBS,
    **disk_verbs.VERBS,
    **operator_verbs.VERBS,
    **round_verbs.VERBS,
    **record_verbs.VERBS,
    **overlap_verbs.VERBS,
    **control_verbs.VERBS,
}


def check_step(step: Step) -> None:
    """Raise ScenarioError if there is no such verb, or it takes other arguments."""
    verb = VERBS.get(step.verb)
    if verb is None:
        raise ScenarioError(f"there is no verb {step.verb!r}: there are {', '.join(sorted(VERBS))}")
    verb.check(step)


def read_scenario(text: str, name: str) -> Scenario:
    """Read a scenario file. Raises ScenarioError: `NAME:LINE: what is wrong`."""
    return parse_scenario(text, name, check_step)
