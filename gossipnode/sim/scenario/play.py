"""Plays the steps of a scenario on a stage."""

from __future__ import annotations

import trio

from gossipnode.sim.scenario.scenario import ScenarioError, Step
from gossipnode.sim.scenario.stage import NotNowError, Stage
from gossipnode.sim.scenario.verbs.all_verbs import VERBS

FORMING_SECONDS = 5.0
"""How long the first step waits for the nodes to be a cluster."""


async def play(stage: Stage) -> None:
    """Start the nodes of the configuration, let them form a cluster, and do every step.

    When what came before took longer than a step's time, it and the timed steps after it come as much later:
    they keep their order and their distance. What is not as expected is in `problems`.

    Raises:
        ScenarioError: a step cannot be done, such as one that names a machine that does not exist.
    """
    async with trio.open_nursery() as starting:
        for name in stage.scenario.nodes:
            starting.start_soon(stage.machines.start, name)
    await _formed(stage)
    stage.begin_periods()
    async with trio.open_nursery() as beside:
        last = late = 0.0
        for step in stage.scenario.steps:
            if step.at is None:
                await trio.sleep_until(max(last, stage.now))
                await _do(stage, step)
                late = 0.0
            else:
                late = max(late, stage.now - step.at)
                last = max(last, step.at + late)
                beside.start_soon(_do_at, stage, step, step.at + late)


async def _formed(stage: Stage) -> None:
    """Wait until the nodes of the configuration are a cluster. In some scenarios they never are."""
    with trio.move_on_after(FORMING_SECONDS):
        for machine in list(stage.machines.running):
            assert machine.node is not None, machine
            cluster = machine.node.parts.local.cluster
            while not (cluster.view.formed and cluster.cleared):
                await cluster.changed.wait()


async def _do_at(stage: Stage, step: Step, time: float) -> None:
    await trio.sleep_until(time)
    await _do(stage, step)


async def _do(stage: Stage, step: Step) -> None:
    try:
        result = await VERBS[step.verb].run(stage, step.arguments)
    except NotNowError as error:
        result = ["fails", str(error)]
    except ScenarioError as error:
        place = f"{stage.scenario.name}:{step.line}: " if step.line else ""
        raise ScenarioError(f"{place}{step}: {error}") from None
    words = list(result or ["ok"])
    if step.expected is not None and (wrong := _unmet(step.expected, words)):
        place = f"{stage.scenario.name}:{step.line}" if step.line else stage.scenario.name
        stage.problems.append(f"{place}: {step}: {wrong}: {' '.join(words)}")
        stage.tell("scenario", stage.problems[-1], "error")


def _unmet(expected: tuple[str, ...], words: list[str]) -> str:
    """What is not as a step expects it, or nothing."""
    missing = [word for word in expected if not word.startswith("!") and word not in words]
    wrong = [word[1:] for word in expected if word.startswith("!") and word[1:] in words]
    if missing:
        return f"no {' '.join(missing)} in what came of it"
    return f"{' '.join(wrong)} is in what came of it" if wrong else ""
