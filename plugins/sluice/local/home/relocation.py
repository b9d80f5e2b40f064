"""One folder's path replaced by another's, in texts that hold it in several spellings."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

# What may follow a path that is not continued by a longer name, and what before it would make it part of another path.
_END = r"""(?=/|$|["'<])"""
_BEGIN = r"(?<![\w.@+()-])"


@dataclass(frozen=True)
class Relocation:
    """The old and the new path of a home; both absolute."""

    old: str
    new: str

    def __call__(self, text: str) -> str:
        """The text with the old path replaced where it is a whole path or the beginning of one.

        A text that was treated before stays as it is, also where the new path lies inside the old one.
        """
        return self._pattern.sub(lambda found: self._spellings[found[0]], text)

    def concerns(self, text: str) -> bool:
        """Whether the text names the old path."""
        return self._pattern.search(text) is not None

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The old path as it is written in plain text, JSON, HTML and URLs, and the new one in the same spelling."""
        spelt = (str, lambda path: json.dumps(path)[1:-1], html.escape, quote)
        # Where two spellings of the old path are the same, the plain one is meant.
        return {spell(self.old): spell(self.new) for spell in reversed(spelt)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        each = []
        for old, new in self._spellings.items():
            inside = rf"(?!{re.escape(new.removeprefix(old))}{_END})" if new.startswith(f"{old}/") else ""
            each.append(f"{re.escape(old)}{_END}{inside}")
        return re.compile(f"{_BEGIN}(?:{'|'.join(each)})")
