"""The gate to a terminal: texts of tables, messages and log lines pass here before they reach one.

Names and values come from clients and peers. Control characters in them could clear a screen, set its
title or forge a line, so they are shown as escapes. So are other characters without a shape of their own.
"""

from __future__ import annotations

MESSAGE_MAX_CHARACTERS = 4000
"""Of a message, and of a value in a log line. A longer one is shortened, and says by how much."""


def printable(text: str) -> str:
    """The text on one line, each unprintable character as an escape such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join([letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text])


def printable_lines(text: str) -> str:
    """A text of several lines, as a traceback is: its line ends stay, the rest is as in `printable`."""
    return "\n".join([printable(line) for line in text.split("\n")])


def printable_json(line: str) -> str:
    """A line of JSON with the same value, in which no string holds an unprintable character."""
    if line.isprintable():
        return line
    return "".join([letter if letter.isprintable() else _json_escape(letter) for letter in line])


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join([f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2)])


def shortened(text: str, most: int = MESSAGE_MAX_CHARACTERS) -> str:
    """The text, or its beginning and how much more there was."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]}... ({left:,} more characters)"
