"""Identifiers: time-ordered UUIDs for records, and an alphabet for codes that operators and brokers copy.

Both take their time and randomness as arguments, so that pure code can use them and tests can fix them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from uuid import UUID

from app.kit.clock import Clock, epoch_ms

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def uuid7(*, epoch_ms: int, random_bits: int) -> UUID:
    """A version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds, 74 bits of randomness."""
    rand_a = (random_bits >> 62) & 0xFFF
    rand_b = random_bits & ((1 << 62) - 1)
    return UUID(int=(epoch_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)


def crockford(value: int, *, length: int) -> str:
    """``value`` in Crockford's base 32, upper case, exactly ``length`` characters; higher bits are cut."""
    digits = [CROCKFORD[(value >> (5 * position)) & 31] for position in reversed(range(length))]
    return "".join(digits)


class IdSource:
    """New identifiers; tests pass their own ``random_bits``."""

    def __init__(self, clock: Clock, *, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._clock = clock
        self._random_bits = random_bits

    def uuid(self) -> UUID:
        """A new UUID of version 7: later ones sort higher, to the millisecond."""
        return uuid7(epoch_ms=epoch_ms(self._clock.now()), random_bits=self._random_bits(74))

    def code(self, length: int) -> str:
        """``length`` random characters of Crockford's alphabet, five bits each."""
        return crockford(self._random_bits(5 * length), length=length)
