"""The rate of calls that the portal can take: hidden from its callers, and able to change while it runs."""

import time

from simulator.behaviour import Behaviour
from simulator.faults import retry_after
from simulator.latency import spend
from simulator.replies import Answer, PortalError, empty


class Capacity:
    """A leaky bucket with ``capacity_calls_per_s``; calls over it get 429 or wait in a growing queue."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._started_s = time.monotonic()
        self._next_s = 0.0

    def calls_per_s(self) -> float:
        """Return the current rate; 0 is unlimited."""
        uptime_s = time.monotonic() - self._started_s
        rate = self._behaviour.capacity_calls_per_s
        for since_s, changed_rate in self._behaviour.capacity_changes:
            if since_s <= uptime_s:
                rate = changed_rate
        return rate

    async def take(self, kind: str) -> None:
        """Count a call against the capacity.

        Raises:
            PortalError: 429, if the portal throttles and the call exceeds its capacity.
        """
        rate, counted = self.calls_per_s(), self._behaviour.capacity_calls
        if not rate or not (kind in counted or "*" in counted):
            return
        now = time.monotonic()
        turn_s = max(self._next_s, now - (self._behaviour.capacity_burst - 1) / rate)
        if turn_s > now and self._behaviour.capacity_mode == "throttle":
            raise PortalError(throttled(self._behaviour.capacity_retry_after_s))
        self._next_s = turn_s + 1 / rate
        await spend(turn_s - now)


def throttled(retry_after_s: float | None) -> Answer:
    """Return the 429 of an overloaded portal."""
    answer = empty(429)
    answer.headers = retry_after(retry_after_s)
    return answer
