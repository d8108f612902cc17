"""A bounded mapping that forgets what was not asked for of late."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Generations(Generic[K, V]):
    """At most `most` values, which take at most `size` bytes by their adders' word.

    There are two generations, each with half of the room: what is found in the elder moves to the younger, and when
    that is full, the elder is dropped. So what is asked for often costs one look-up and no order to be kept.
    """

    __slots__ = ("_elder", "_left", "_most", "_size", "_younger")

    def __init__(self, most: int, size: int) -> None:
        self._most: Final = most // 2
        self._size: Final = size // 2
        self._left = self._size
        self._younger: dict[K, tuple[V, int]] = {}
        self._elder: dict[K, tuple[V, int]] = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._elder)

    def find(self, key: K) -> V | None:
        """The value of `key`, None where it is not known, or no longer."""
        found = self._younger.get(key)
        if found is None:
            found = self._elder.pop(key, None)
            if found is None:
                return None
            self.add(key, *found)
        return found[0]

    def add(self, key: K, value: V, size: int) -> None:
        """Keeps a value that was not found, if its `size` in bytes leaves room for another."""
        if size > self._size:
            return
        if size > self._left or len(self._younger) >= self._most:
            self._elder, self._younger, self._left = self._younger, {}, self._size
        self._left -= size
        self._younger[key] = value, size
