"""The plugin in a test run of its own, as a stranger has it: without any setting of this repository."""

from __future__ import annotations

import pytest

# The test runs below would import it anew each time, since they leave sys.modules as they found it.
import gossipnode.sim.testing  # noqa: F401

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

CONFTEST = 'pytest_plugins = ["gossipnode.sim.pytest_plugin"]'


def outcomes(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run the tests in `source`. Any warning is an error."""
    write(pytester, source)
    return pytester.runpytest_inprocess("-W", "error", "--strict-markers")


def outcomes_in_a_process(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """The same, where nobody else has configured structlog."""
    write(pytester, source)
    return pytester.runpytest_subprocess("-W", "error", *arguments)


def write(pytester: pytest.Pytester, source: str) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(source)


def test_the_virtual_cluster_under_whatever_runs_the_test(pytester: pytest.Pytester) -> None:
    result = outcomes(
        pytester,
        """
        import pytest
        import trio
        from trio.testing import MockClock
        from gossipnode.sim.testing import run_in_virtual_time, virtual_cluster as cluster_in_virtual_time

        async def use(cluster):
            async with cluster.connect() as client:
                assert [member.name for member in await client.members()] == list(cluster.names)

        @pytest.mark.trio
        async def test_under_pytest_trio(virtual_cluster, autojump_clock):
            await use(virtual_cluster)
            await trio.sleep(60)

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})])
        async def test_under_anyio(virtual_cluster, anyio_backend):
            await use(virtual_cluster)
            await trio.sleep(60)

        def test_with_trio_alone():
            async def work():
                async with cluster_in_virtual_time() as cluster:
                    await use(cluster)
                    await trio.sleep(60)
            run_in_virtual_time(work)

        @pytest.mark.trio
        @pytest.mark.gossipnode(nodes=2, groups=["g:1:2"])
        async def test_the_marker(virtual_cluster, autojump_clock):
            async with virtual_cluster.connect() as client:
                assert [group.name for group in await client.groups()] == ["g"]
                assert len(await client.members()) == 2
        """,
    )
    result.assert_outcomes(passed=4)


def test_the_loopback_cluster_under_whatever_runs_the_test(pytester: pytest.Pytester) -> None:
    result = outcomes(
        pytester,
        """
        import asyncio
        import pytest
        from gossipnode.client import connect

        async def members(addresses):
            async with connect(*addresses) as client:
                return [member.name for member in await client.members()]

        def test_under_asyncio(loopback_cluster):
            assert asyncio.run(members(loopback_cluster.addresses)) == ["a", "b", "c"]

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        @pytest.mark.gossipnode(nodes=1, groups=["g:1:1"])
        async def test_under_anyio_on_asyncio(loopback_cluster, anyio_backend):
            assert await members(loopback_cluster.addresses) == ["a"]
        """,
    )
    result.assert_outcomes(passed=2)


def test_mistakes_are_told_in_one_line(pytester: pytest.Pytester) -> None:
    result = outcomes(
        pytester,
        """
        import pytest

        @pytest.mark.trio
        async def test_no_clock(virtual_cluster):
            pass

        @pytest.mark.gossipnode(node=1)
        def test_misspelt(loopback_cluster):
            pass

        @pytest.mark.gossipnode(5)
        def test_without_names(loopback_cluster):
            pass

        @pytest.mark.gossipnode(groups=["g"])
        def test_wrong_group(loopback_cluster):
            pass
        """,
    )
    result.assert_outcomes(failed=1, errors=3)
    result.stdout.fnmatch_lines_random(
        [
            "* time is not virtual: have the test ask for the fixture autojump_clock too*",
            "E *write @pytest.mark.gossipnode(nodes=3, groups=[[]...]), with these names alone",
            "E *--group: *'g'*",
        ]
    )


def test_what_nodes_log_is_no_output_of_the_application(pytester: pytest.Pytester) -> None:
    result = outcomes_in_a_process(
        pytester,
        """
        import structlog

        def test_output(loopback_cluster, capfd):
            loopback_cluster.faults.crash("a")
            loopback_cluster.faults.restart("a")
            print("printed")
            structlog.get_logger().info("logged by the application")
            captured = capfd.readouterr()
            assert captured.out.startswith("printed\\n")
            assert captured.out.count("\\n") == 2
            assert "logged by the application" in captured.out
            assert captured.err == ""

        def test_failing(loopback_cluster):
            assert False
        """,
        "--log-level=INFO",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Captured log setup*", "INFO *gossipnode.node*ready*"])


def test_an_application_that_configures_structlog_itself_has_it_its_way(pytester: pytest.Pytester) -> None:
    result = outcomes_in_a_process(
        pytester,
        """
        import structlog
        import pytest

        @pytest.fixture
        def said():
            with structlog.testing.capture_logs() as logs:
                yield logs

        def test_logs(said, loopback_cluster):
            assert {line["event"] for line in said} >= {"ready"}
        """,
    )
    result.assert_outcomes(passed=1)
