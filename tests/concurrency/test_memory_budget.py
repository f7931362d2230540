"""A budget of memory: who holds how much, what may be promised, and who is woken when some comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.concurrency.memory_budget import (
    ACCOUNT_STEP_BYTES,
    KEPT_FOR_MEMBERS_PART,
    MIB,
    WOKEN_AT_ONCE,
    MemoryBudget,
)
from gossipnode.concurrency.shares import Caller

A, B, MEMBER = Caller("a"), Caller("b"), Caller("m", member=True)


class Task:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_one_caller_never_holds_all_and_members_find_their_part() -> None:
    budget = MemoryBudget(64 * MIB)
    greedy = budget.account("messages", A)
    while greedy.fits(MIB):
        greedy.take(MIB)
    assert greedy.held == (64 - 64 // KEPT_FOR_MEMBERS_PART) // 2 * MIB
    assert budget.account("messages", B).fits(12 * MIB)
    assert budget.account("messages", MEMBER).fits(20 * MIB)


def test_the_accounts_of_a_caller_are_one_share() -> None:
    budget = MemoryBudget(64 * MIB)
    budget.account("messages", A).take(20 * MIB)
    assert not budget.account("queries", A).fits(20 * MIB)
    assert budget.by_use() == {"messages": 20 * MIB}


def test_an_account_counts_in_steps_and_gives_everything_back() -> None:
    budget = MemoryBudget()
    account = budget.account("messages", A)
    account.take(1)
    assert budget.shares.held == ACCOUNT_STEP_BYTES
    account.take(ACCOUNT_STEP_BYTES)
    assert budget.shares.held == 2 * ACCOUNT_STEP_BYTES
    account.give_back(ACCOUNT_STEP_BYTES)
    assert budget.shares.held == 2 * ACCOUNT_STEP_BYTES
    account.give_back(1)
    assert budget.shares.held == 0
    account.take(5 * MIB)
    account.close()
    account.give_back(5 * MIB)
    assert (budget.shares.held, budget.by_use()) == (0, {})


def test_what_is_promised_fits_the_share_of_the_caller() -> None:
    budget = MemoryBudget(64 * MIB)
    account = budget.account("messages", A)
    assert account.promise_room() == 24 * MIB
    account.promise(20 * MIB)
    assert budget.account("queries", A).promise_room() == 4 * MIB
    assert budget.account("messages", B).promise_room() == 24 * MIB
    account.close()
    assert budget.account("messages", A).promise_room() == 24 * MIB


def test_those_that_wait_are_woken_in_turn() -> None:
    budget = MemoryBudget()
    account = budget.account("messages", A)
    tasks = [Task() for _ in range(WOKEN_AT_ONCE + 2)]
    for task in tasks:
        budget.wait(task)
    budget.wait_no_more(tasks[1])
    account.take(MIB)
    account.give_back(MIB)
    assert [task.woken for task in tasks] == [1, 0] + [1] * (WOKEN_AT_ONCE - 1) + [0]
    account.promise(1)
    account.promise(-1)
    assert tasks[-1].woken == 1


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be kept"):
        MemoryBudget(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), max_size=60))
def test_the_budget_holds_what_its_accounts_hold(script: list[tuple[int, int]]) -> None:
    budget = MemoryBudget()
    accounts = [budget.account(use, caller) for use in ("x", "y") for caller in (A, MEMBER)]
    for number, change in script:
        account, size = accounts[number], abs(change) * 50_000
        if change >= 0:
            account.take(size)
        else:
            account.give_back(min(size, account.held))
        held = sum(each.held for each in accounts)
        assert held <= budget.shares.held < held + len(accounts) * 2 * ACCOUNT_STEP_BYTES
        assert sum(budget.by_use().values()) == budget.shares.held
