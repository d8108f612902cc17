"""Answers with long lists of numbers, which are moved about as the text that they are.

An embedding of 1,536 numbers is 30 kB, and to read and to write it takes a thousand times as long as to copy it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import read_json

if TYPE_CHECKING:
    from coo_middleware.core.document import Json

# A string goes first, so that a list in a text is none.
_LISTS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|\[[-+0-9.eE,\s]{32,}\]', re.DOTALL)
# JSON has only this way to write the character.
_MARK: Final = r"\u0000"
_MARKED: Final = re.compile(r'"\\u0000(\d+)"')


class Vectors:
    """Reads answers, and writes what is made of them. Within them a text that begins with the character 0 stands for a
    list of numbers.
    """

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: Final[list[str]] = []

    def read(self, content: bytes) -> Json:
        """The answer, None for what is no JSON, or has that character itself."""
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return None
        return None if _MARK in text else read_json(_LISTS.sub(self._keep, text))

    def write(self, answer: Json) -> bytes:
        """The content of an answer, with the lists as they were read."""
        text = json.dumps(answer, separators=(",", ":"))
        return _MARKED.sub(lambda found: self._texts[int(found[1])], text).encode()

    def _keep(self, found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith('"'):
            return text
        self._texts.append(text)
        return f'"{_MARK}{len(self._texts) - 1}"'
