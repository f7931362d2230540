"""Expressions, as people write criteria: text to criteria. `status = "ok" AND (n > 5 OR tags HAVING "x")`.

A small recursive-descent parser. AND binds tighter than OR. Every error names the column and what was
expected there; what the criteria mean is said in `criteria`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from gossipnode.core.model.tag_value import INT64_MAX, INT64_MIN, IntArray, StrArray, TagValue
from gossipnode.core.model.timestamp_text import InvalidTimestampError, timestamp_of
from gossipnode.core.query.criteria import (
    ANALYZERS,
    Condition,
    Criteria,
    InvalidCriteriaError,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
)

NESTING_MAX = 32
"""How many parentheses may be open within each other."""
EXPRESSION_MAX_CHARACTERS = 65_536

GRAMMAR = """\
TAG = VALUE, and != < <= > >=; TAG IN (VALUE, ...); TAG NOT IN (...); TAG HAVING VALUE or (VALUE, ...);
TAG NOT HAVING ...; TAG MATCH "text" [USING keyword|simple|standard|url] [ANY|ALL]; joined by AND, OR and
parentheses (AND binds tighter). A VALUE is "text" or 'text', a whole number, or a time as
t"2026-01-02T03:04:05Z". A TAG with spaces or other signs in its name is written in quotes."""

_COMPARISONS = {
    "=": Op.EQ,
    "==": Op.EQ,
    "!=": Op.NE,
    "<": Op.LT,
    "<=": Op.LE,
    ">": Op.GT,
    ">=": Op.GE,
}
_KEYWORDS = ("AND", "OR", "NOT", "IN", "HAVING", "MATCH", "USING", "ANY", "ALL")
_OPERATORS_EXPECTED = "an operator (= != < <= > >= IN, NOT IN, HAVING, NOT HAVING, MATCH)"
_VALUE_EXPECTED = 'a value ("text", a whole number or t"2026-01-02T03:04:05Z")'
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<time>(?:timestamp|t)(?=["']))
    |(?P<quote>["'])
    |(?P<sign>==|!=|<=|>=|[=<>(),\[\]])
    |(?P<number>[+-]?[0-9]+(?![^\s=!<>(),\[\]"']))
    |(?P<word>[^\s=!<>(),\[\]"']+)""",
    re.VERBOSE | re.IGNORECASE,
)


class _Token(NamedTuple):
    kind: str
    """text, time, sign, number, word, or end."""
    text: str
    column: int
    """From 1."""

    @property
    def keyword(self) -> str:
        """The word as a keyword, or "" if it is not one."""
        upper = self.text.upper()
        return upper if self.kind == "word" and upper in _KEYWORDS else ""


def parse_expression(expression: str) -> Criteria:
    """Read an expression.

    Raises:
        InvalidCriteriaError: names the column and what was expected there.
    """
    if len(expression) > EXPRESSION_MAX_CHARACTERS:
        raise InvalidCriteriaError(f"the expression is longer than {EXPRESSION_MAX_CHARACTERS} characters")
    try:
        expression.encode()
    except UnicodeEncodeError:
        raise InvalidCriteriaError(f"{expression[:40]!r} is no valid Unicode text") from None
    parser = _Parser(list(_tokens(expression)))
    criteria = parser.expression(1)
    parser.expect_end()
    return check_criteria(criteria)


def _fail(column: int, problem: str) -> NoReturn:
    raise InvalidCriteriaError(f"column {column}: {problem}")


def _tokens(expression: str) -> Iterator[_Token]:
    position = 0
    while position < len(expression):
        found = _TOKEN.match(expression, position)
        if found is None:
            _fail(position + 1, f"did not expect {expression[position]!r}")
        kind, start = found.lastgroup or "", position
        position = found.end()
        if kind == "space":
            continue
        if kind in ("quote", "time"):
            opening = position - 1 if kind == "quote" else position
            text, position = _quoted(expression, opening)
            yield _Token("time" if kind == "time" else "text", text, start + 1)
        else:
            yield _Token(kind, found[0], start + 1)
    yield _Token("end", "", len(expression) + 1)


def _quoted(expression: str, opening: int) -> tuple[str, int]:
    """The text between quotes that open at `opening`, and the position after the closing one."""
    quote = expression[opening]
    parts: list[str] = []
    position = opening + 1
    while position < len(expression):
        letter = expression[position]
        if letter == quote:
            return "".join(parts), position + 1
        if letter == "\\":
            letter, position = _escape(expression, position)
        else:
            position += 1
        parts.append(letter)
    _fail(opening + 1, f"the text that opens here has no closing {quote}")


def _escape(expression: str, position: int) -> tuple[str, int]:
    code = expression[position + 1 : position + 2]
    if code in _ESCAPES:
        return _ESCAPES[code], position + 2
    if code in ("u", "U"):
        end = position + 2 + (4 if code == "u" else 8)
        digits = expression[position + 2 : end]
        if re.fullmatch(r"[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}", digits):
            number = int(digits, 16)
            if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
                return chr(number), end
    _fail(position + 1, r"no such escape: known are \" \' \\ \n \r \t \uXXXX \UXXXXXXXX")


class _Parser:
    """Walks the tokens once. Each method reads one construct, and leaves the position after it."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _wrong(self, expected: str, token: _Token | None = None) -> NoReturn:
        token = token or self._token
        found = "the end" if token.kind == "end" else repr(token.text[:40])
        _fail(token.column, f"expected {expected}, found {found}")

    def expect_end(self) -> None:
        if self._token.kind != "end":
            self._wrong("AND, OR or the end")

    def expression(self, depth: int) -> Criteria:
        return self._chain("OR", depth)

    def _chain(self, joined_by: str, depth: int) -> Criteria:
        def operand() -> Criteria:
            return self._chain("AND", depth) if joined_by == "OR" else self._operand(depth)

        sides = [operand()]
        while self._token.keyword == joined_by:
            self._take()
            sides.append(operand())
        return _balanced(LogicalOp[joined_by], sides)

    def _operand(self, depth: int) -> Criteria:
        token = self._token
        if token.text != "(" or token.kind != "sign":
            return self._condition()
        if depth >= NESTING_MAX:
            _fail(token.column, f"more than {NESTING_MAX} parentheses within each other")
        self._take()
        inner = self.expression(depth + 1)
        if self._token.text != ")":
            self._wrong('AND, OR or ")"')
        self._take()
        return inner

    def _condition(self) -> Condition:
        token = self._token
        if token.kind not in ("word", "text") or token.keyword or not token.text:
            self._wrong('a tag name or "("')
        name = self._take().text
        token = self._token
        if token.kind == "sign" and token.text in _COMPARISONS:
            self._take()
            return Condition(name, _COMPARISONS[token.text], self._value())
        match self._operator():
            case Op.MATCH:
                return self._match(name)
            case Op.HAVING | Op.NOT_HAVING as op if self._token.text not in ("(", "["):
                return Condition(name, op, self._value())
            case op:
                return Condition(name, op, self._list())

    def _operator(self) -> Op:
        word = self._token.keyword
        if word == "MATCH":
            self._take()
            return Op.MATCH
        negated = word == "NOT"
        if negated:
            self._take()
        word = self._token.keyword
        if word not in ("IN", "HAVING"):
            self._wrong("IN or HAVING behind NOT" if negated else _OPERATORS_EXPECTED)
        self._take()
        return Op[f"NOT_{word}" if negated else word]

    def _match(self, name: str) -> Condition:
        wanted = self._token
        if wanted.kind != "text":
            self._wrong('a text in quotes, as in MATCH "latin letter"')
        self._take()
        analyzer, operator = "keyword", LogicalOp.OR
        if self._token.keyword == "USING":
            self._take()
            token = self._take()
            analyzer = token.text.lower()
            if token.kind != "word" or analyzer not in ANALYZERS:
                self._wrong(f"an analyzer ({', '.join(ANALYZERS)})", token)
        if self._token.keyword in ("ANY", "ALL"):
            operator = LogicalOp.AND if self._take().keyword == "ALL" else LogicalOp.OR
        return Condition(name, Op.MATCH, wanted.text, MatchOption(analyzer, operator))

    def _value(self) -> TagValue:
        token = self._token
        if token.kind not in ("text", "number", "time"):
            self._wrong(_VALUE_EXPECTED)
        self._take()
        if token.kind == "number":
            return _int64(token)
        if token.kind == "time":
            try:
                return timestamp_of(token.text)
            except InvalidTimestampError as error:
                _fail(token.column, str(error))
        return token.text

    def _list(self) -> StrArray | IntArray:
        opening = self._token
        if opening.kind != "sign" or opening.text not in ("(", "["):
            self._wrong('a list, as in ("a", "b") or (1, 2)')
        self._take()
        closing = ")" if opening.text == "(" else "]"
        texts: list[str] = []
        numbers: list[int] = []
        while True:
            token = self._token
            if token.kind not in ("text", "number") or (texts if token.kind == "number" else numbers):
                kind = "a text" if texts else "a whole number" if numbers else "a text or a whole number"
                self._wrong(f"{kind} in the list")
            self._take()
            if token.kind == "text":
                texts.append(token.text)
            else:
                numbers.append(_int64(token))
            if self._token.text not in (",", closing) or self._token.kind != "sign":
                self._wrong(f'"," or "{closing}"')
            if self._take().text == closing:
                return IntArray(numbers) if numbers else StrArray(texts)


def _int64(token: _Token) -> int:
    if len(token.text) > 20 or not INT64_MIN <= int(token.text) <= INT64_MAX:
        _fail(token.column, f"{token.text[:40]} is out of range: {INT64_MIN} to {INT64_MAX}")
    return int(token.text)


def _balanced(op: LogicalOp, sides: list[Criteria]) -> Criteria:
    """Join the sides as a tree of the least depth, because criteria may not be nested deep."""
    while len(sides) > 1:
        joined: list[Criteria] = [
            LogicalExpression(op, left, right) for left, right in zip(sides[::2], sides[1::2], strict=False)
        ]
        sides = joined + sides[len(joined) * 2 :]
    return sides[0]
