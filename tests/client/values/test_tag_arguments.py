from __future__ import annotations

import pytest

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.tag_arguments import parse_key, parse_tags, where_argument
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import IntArray, StrArray, Timestamp
from gossipnode.core.query.criteria import Condition, Op


def test_tags_of_the_command_line() -> None:
    arguments = [
        "a=text=with=signs", "b:int=-5", "c:str[]=x,y", "d:int[]=1, 2", "e:binary=AP8=",
        "f:timestamp=2026-01-02T03:04:05.123456789Z", "g:null=", "h=", "i:str[]=", "j:int[]=", "k:l:str=m",
    ]  # fmt: skip
    assert parse_tags(arguments) == {
        "a": "text=with=signs",
        "b": -5,
        "c": StrArray(("x", "y")),
        "d": IntArray((1, 2)),
        "e": b"\x00\xff",
        "f": Timestamp(1767323045, 123456789),
        "g": None,
        "h": "",
        "i": StrArray(),
        "j": IntArray(),
        "k:l": "m",
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("novalue", "'novalue' is no tag: expected one of key=text"),
        ("=x", "empty key"),
        (":int=5", "empty key"),
        ("a:integer=5", "tag 'a' has an unknown type 'integer': did you mean 'int'?"),
        ("a:float=5", "tag 'a' has an unknown type 'float'"),
        ("a:int=five", "tag 'a': 'five' is no whole number"),
        ("a:int=1_000", "tag 'a': '1_000' is no whole number"),
        ("a:int=9223372036854775808", "tag 'a': 9223372036854775808 is out of range"),
        ("a:int[]=1,,2", "tag 'a': '' is no whole number"),
        ("a:binary=???", "tag 'a': '???' is no base64"),
        ("a:timestamp=now", "tag 'a': 'now' is no timestamp"),
        ("a:null=x", "tag 'a': null takes no value"),
        ("a=\udcff", "tag 'a': '\\udcff' is no UTF-8 text"),
    ],
)
def test_a_wrong_tag_says_what_is_wrong(argument: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_tags(["ok=1", argument])
    assert message in str(raised.value)


def test_a_tag_given_twice() -> None:
    with pytest.raises(InvalidInputError, match="tag 'a' is given twice"):
        parse_tags(["a=1", "a:int=2"])


def test_keys() -> None:
    assert parse_key("g/n/i/j") == Entity("g", "n", "i/j")
    for wrong, message in (("g/n", "expected GROUP/NAME/ID"), ("g//i", "'g//i' is no key: name is empty")):
        with pytest.raises(InvalidInputError, match=message):
            parse_key(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a =", "--where, column 4: expected a value"),
        ('a = "\udcff"', "--where: 'a = "),
        ("a MATCH 'x' AND b < (1)", "--where, column 21: expected a value"),
    ],
)
def test_what_is_no_expression_is_wrong_input(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        where_argument(text)
    assert str(raised.value).startswith(message)


def test_an_expression_becomes_criteria() -> None:
    assert where_argument("a > 5") == Condition("a", Op.GT, 5)
