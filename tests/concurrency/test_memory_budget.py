"""A budget of memory: who holds how much, what may be promised, and who is woken when some comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.concurrency.memory_budget import (
    ACCOUNT_STEP_BYTES,
    KEPT_FOR_MEMBERS_PART,
    MIB,
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
    assert budget.promise_room(A) == 24 * MIB
    account.promise(20 * MIB)
    assert (budget.promise_room(A), budget.promise_room(B)) == (4 * MIB, 24 * MIB)
    account.take(2 * MIB)
    assert budget.promise_room(A) == 2 * MIB
    assert account.may_promise(20 * MIB + 2 * MIB, 20 * MIB, "a message")
    account.close()
    assert budget.promise_room(A) == 24 * MIB


def test_one_message_of_a_caller_is_let_in_although_there_is_no_room() -> None:
    budget = MemoryBudget(64 * MIB)
    account = budget.account("messages", A)
    account.take(30 * MIB)
    account.promise(2 * MIB)  # what two streams were promised before, whose messages are larger than that
    assert budget.promise_room(A) == 0
    assert account.may_promise(4 * MIB, MIB, "first")
    account.promise(3 * MIB)
    assert not account.may_promise(4 * MIB, MIB, "second")
    assert account.may_promise(5 * MIB, 4 * MIB, "first")
    account.let_in_no_more("second")
    assert not account.may_promise(4 * MIB, MIB, "second")
    account.let_in_no_more("first")
    assert account.may_promise(4 * MIB, MIB, "second")


def test_what_may_come_at_the_beginnings_of_streams_is_promised_to_nobody_else() -> None:
    budget = MemoryBudget(64 * MIB)
    account = budget.account("messages", A)
    assert account.expect_first_window(20 * MIB)
    assert not account.expect_first_window(5 * MIB)
    assert (budget.promise_room(A), budget.promise_room(B)) == (4 * MIB, 24 * MIB)
    account.expect_no_more(10 * MIB)
    assert budget.promise_room(A) == 14 * MIB
    account.close()
    assert budget.promise_room(A) == 24 * MIB


def test_the_first_of_each_line_is_woken_until_it_has_got_its_room() -> None:
    budget = MemoryBudget()
    of_a, of_b = budget.account("messages", A), budget.account("messages", B)
    tasks = [Task() for _ in range(4)]
    for number, task in enumerate(tasks):
        budget.wait(of_b if number == 3 else of_a, number, task)

    def woken() -> list[int]:
        of_a.take(MIB)
        of_a.give_back(MIB)
        return [task.woken for task in tasks]

    assert woken() == [1, 0, 0, 1]
    assert woken() == [2, 0, 0, 2]
    budget.wait_no_more(of_a, 0)
    assert [task.woken for task in tasks] == [2, 1, 0, 2]
    budget.wait_no_more(of_a, 2)
    budget.wait_no_more(of_a, 2)
    budget.wait(of_a, 1, tasks[1])
    assert woken() == [2, 2, 0, 3]
    for number in (1, 3):
        budget.wait_no_more(of_b if number == 3 else of_a, number)
    assert woken() == [2, 2, 0, 3]
    assert not budget._lines


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


def test_many_callers_together_hold_no_more_than_the_budget() -> None:
    budget = MemoryBudget(64 * MIB)
    began = 0
    for number in range(100):
        account = budget.account("requests", Caller(f"caller {number}"))
        if budget.may_begin(account, 4 * MIB):
            budget.enter(account, 4 * MIB)
            began += 1
    assert 8 < began <= 16
    assert budget.shares.held <= budget.shares.capacity


def test_when_nothing_else_is_under_way_one_gets_on_although_everything_is_held() -> None:
    budget = MemoryBudget(64 * MIB)
    budget.account("connections", A).take(64 * MIB)
    account = budget.account("requests", B)
    assert budget.may_begin(account, 4 * MIB)
    budget.enter(account, 4 * MIB)
    assert not budget.may_begin(budget.account("requests", MEMBER), 4 * MIB)


def test_the_blocks_of_a_caller_leave_room_for_what_it_still_sends() -> None:
    budget = MemoryBudget(64 * MIB)
    account, began = budget.account("requests", A), 0
    while budget.may_begin(account, MIB):
        budget.enter(account, MIB)
        began += 1
    assert began == (64 - 64 // KEPT_FOR_MEMBERS_PART) // 3
    assert budget.account("connections", A).fits(7 * MIB)
