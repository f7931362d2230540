"""Accounts of memory for tests that need one and do not look at it."""

from gossipnode.concurrency.memory_budget import BUDGET_BYTES, MemoryAccount, MemoryBudget
from gossipnode.concurrency.shares import Caller


def account(budget_bytes: int = BUDGET_BYTES, name: str = "peer") -> MemoryAccount:
    """The only account of a budget."""
    return MemoryBudget(budget_bytes).account("test", Caller(name))
