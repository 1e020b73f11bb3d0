"""Mutants that change nothing which anybody could see, each with its reason.

Known by path, function and the changed lines, so that a line may move. One that is no longer a mutant of the tree is
an error (``tests/unit/faults/test_mutants.py``).
"""

from __future__ import annotations

from tests.faults.mutants.mutant import Key

_SLOW_CUT = "the frame is not called uniform, and is cut packet by packet instead: the same packets, later"
_UNIQUE = "two waiters never have the same number, so nothing behind it is ever compared"

_TICKS, _GOVERNOR = "app/kite/wire/ticks.py", "app/kite/governor.py"
_HIGH_BYTES = "and frame[2::stride] == bytes((length >> {},)) * count"
_KIND = "kind: RequestKind = field(compare={})"
_GRANTED = "granted: asyncio.Future[None] = field(compare={})"

EQUIVALENTS: dict[Key, str] = {
    (_TICKS, "_is_uniform", "length = stride - 2", "length = (stride + 2)"): _SLOW_CUT,
    (_TICKS, "_is_uniform", "length = stride - 2", "length = stride - 3"): _SLOW_CUT,
    (_TICKS, "_is_uniform", "length <= 0xFFFF", "(length < 65535)"): _SLOW_CUT,
    (_TICKS, "_is_uniform", "length <= 0xFFFF", "(length > 65535)"): _SLOW_CUT,
    (_TICKS, "_is_uniform", _HIGH_BYTES.format(8), _HIGH_BYTES.format(9)): _SLOW_CUT,
    (_GOVERNOR, "_Waiter", _KIND.format(False), _KIND.format(True)): _UNIQUE,
    (_GOVERNOR, "_Waiter", _GRANTED.format(False), _GRANTED.format(True)): _UNIQUE,
}
