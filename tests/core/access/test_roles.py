"""Roles of clients, by the names in their certificates."""

from __future__ import annotations

import pytest

from gossipnode.core.access.roles import Role, Roles

ALL = Roles(readers=("dash-*", "both"), writers=("app-*", "both"), admins=("ops",))


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (["dash-1"], Role.READER),
        (["app-7"], Role.WRITER),
        (["ops"], Role.ADMIN),
        (["both"], Role.WRITER),
        (["dash-1", "ops"], Role.ADMIN),
        (["nobody"], Role.NONE),
        ([], Role.NONE),
    ],
)
def test_a_caller_has_the_highest_role_of_its_names(names: list[str], role: Role) -> None:
    assert ALL.of(names) is role


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (Roles(), Role.WRITER),
        (Roles(readers=("dash-*",)), Role.WRITER),
        (Roles(admins=("ops",)), Role.WRITER),
        (Roles(writers=("app-*",)), Role.NONE),
    ],
)
def test_others_are_writers_unless_writers_are_named(roles: Roles, role: Role) -> None:
    assert roles.of(["somebody"]) is role
    assert roles.of([]) is role


def test_a_role_may_do_all_that_the_ones_before_it_may() -> None:
    ranks = [Role.NONE, Role.READER, Role.WRITER, Role.ADMIN]
    for has in ranks:
        for needed in ranks[1:]:
            assert ALL.admits(has, needed) == (ranks.index(has) >= ranks.index(needed))


def test_where_no_admins_are_named_writers_may_do_what_is_theirs() -> None:
    assert Roles().admits(Role.WRITER, Role.ADMIN)
    assert not Roles().admits(Role.READER, Role.ADMIN)
    assert not Roles(admins=("ops",)).admits(Role.WRITER, Role.ADMIN)
