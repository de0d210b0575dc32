"""A limit on wrong keys: a key is far too long to guess, but trying should not be free either.

A correct key is always accepted: many users may share the address of a proxy, and none should lock out the others.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

#: Wrong keys that one address may try in a row, and how long it takes until it may try one more.
TRIES = 10
REFILL_S = 6.0
#: Addresses remembered; the oldest are forgotten.
_REMEMBERED = 10_000


class WrongKeys:
    """Counts wrong tries by address, in this process alone.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When the debt of an address is paid off.
        self._paid_s: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds until this address may try again; 0 if it may now."""
        debt_s = self._paid_s.get(address, 0.0) - self._clock()
        return max(0.0, debt_s - (TRIES - 1) * REFILL_S)

    def note(self, address: str) -> None:
        """Count a wrong key."""
        self._paid_s[address] = max(self._paid_s.get(address, 0.0), self._clock()) + REFILL_S
        self._paid_s.move_to_end(address)
        while len(self._paid_s) > _REMEMBERED:
            self._paid_s.popitem(last=False)
