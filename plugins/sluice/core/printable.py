"""Strangers' text as people may see it: in mails, pages, logs, on the terminal, and in a form that asks for approval.

Names of files and columns, values of cells and messages of libraries come from whoever delivers data. Newlines, escape
sequences of terminals, bidirectional overrides and invisible characters in them could forge what the platform says. The
rule kept here: what is not a printable character is shown as its escape. It is applied where such text enters an error, a
verdict, an event, a page or the terminal, and applying it again changes nothing.
"""

from __future__ import annotations

import re
from typing import Any

_BACKTICKS = re.compile("`+")
# What begins a link, an image, code, HTML, an entity, emphasis, a cell or a formula within a line of CommonMark or of GitHub's dialect;
# an underscore does so at the edge of a word only. GitHub links a bare address, too: what makes it one is the second slash, the dot after
# www, or the @ of a mail or a name.
_MARKUP = re.compile(r"[\\`*\[\]<>&|~$@]|(?<![^\W_])_|_(?![^\W_])|(?<=/)/|(?<=[Ww]{3})\.")


def printable(text: str) -> str:
    """Text with everything that is no printable character, newlines included, as an escape such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def printable_lines(text: str) -> str:
    """As `printable`, of a text of ours that has several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable_all(value: Any) -> Any:
    """As `printable`, of every text in lists, tuples and mappings, keys included; other values stay what they are."""
    # What is of a type of its own, such as Markup, is somebody's who has dealt with it already.
    if type(value) is str:
        return printable(value)
    if type(value) is dict:
        return {printable_all(key): printable_all(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(printable_all(each) for each in value)
    return value


def as_code(text: str) -> str:
    """Text as inline code of Markdown, in which nothing is a link, an image, HTML or emphasis."""
    shown = printable(text).strip()
    longest = max((len(found) for found in _BACKTICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown else ""


def as_markdown(text: str) -> str:
    """Text within a line of Markdown, where nothing in it is markup; it must not be the first on its line."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))
