"""Keyed bijections and draws: random access to a shuffled space, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

ROUNDS = 4
_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def digest(text: str) -> int:
    """128 bits that depend on every character of ``text``."""
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=16).digest(), "big")


@lru_cache(maxsize=4096)
def _round_keys(key: str) -> tuple[int, ...]:
    return tuple(digest(f"{key}#{number}") & _MASK for number in range(ROUNDS))


def permute(index: int, size: int, key: str) -> int:
    """The place of ``index`` in a shuffle of ``range(size)`` chosen by ``key``.

    A Feistel network over the next power of two, walked until it lands in the range (Black and
    Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).

    Args:
        index: 0 or more and less than ``size``.
        size: Number of places.
        key: Names the shuffle.
    """
    if size == 1:
        return 0
    bits = (size - 1).bit_length()
    low = bits // 2
    high = bits - low
    keys = _round_keys(key)
    value = index
    while True:
        left, right = value >> low, value & ((1 << low) - 1)
        left_bits, right_bits = high, low
        for round_key in keys:
            mixed = ((right + round_key) * _MULTIPLIER) & _MASK
            mixed = ((mixed ^ (mixed >> 29)) * _MULTIPLIER) & _MASK
            left, right = right, left ^ ((mixed >> 32) & ((1 << left_bits) - 1))
            left_bits, right_bits = right_bits, left_bits
        # After an even number of rounds the halves have their first widths again.
        value = (left << low) | right
        if value < size:
            return value


class Surface:
    """Choices of wording, all from one digest, so that they cost no further hashing.

    Args:
        key: What the choices depend on.
    """

    def __init__(self, key: str) -> None:
        self._bits = digest(key)

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``."""
        self._bits, value = divmod(self._bits, bound)
        return value

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        return options[self.below(len(options))]

    def pick_two(self, options: tuple[str, ...]) -> tuple[str, str]:
        """Two different ones of ``options``."""
        first = self.below(len(options))
        second = self.below(len(options) - 1)
        return options[first], options[second + (second >= first)]
