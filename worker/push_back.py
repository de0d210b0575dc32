"""How long to leave a portal alone when it asks for fewer calls or cannot be reached."""

import time
from dataclasses import dataclass

from jobs.lanes.settlement import NewRest
from jobs.words.reasons import StateReason, known_reason
from worker.portal_answers import Failure, Remedy
from worker.retry_after import LONGEST_S

#: For this many 429s in a row, cutting the learned rate is the only response. By then the rate is a small part of what
#: it was, and calls are far apart anyway; waiting from the second 429 on would lose seconds at every step down.
CUTS_BEFORE_WAITING = 4


class PushBack:
    """Counts consecutive troubles of one portal, as this process sees them.

    Args:
        base_s: wait after the first one, when the portal does not say; doubles with each further one.
        max_s: longest wait.
        asked_max_s: longest wait where the portal says how long. Where it asks for more, one careful call goes after
            this time, alone; the portal may have changed its mind, or a gateway may have meant something else.
    """

    def __init__(self, base_s: float, max_s: float, asked_max_s: float = LONGEST_S) -> None:
        self._base_s = base_s
        self._max_s = max_s
        self._asked_max_s = asked_max_s
        self._in_a_row = 0
        self._last_s = float("-inf")

    def calm(self) -> None:
        """Record that the portal gave a good answer."""
        self._in_a_row = 0

    def after(self, failure: Failure, started_s: float) -> "Relief":
        """Return how to spare the portal after a failure.

        The learned rate is cut at every 429, and at the first of other push-backs in a row. Beyond that, no
        worker calls for as long as the portal says. Where it does not say, the cuts are enough for a few 429s in a row;
        anything else, or one more 429, leads to a longer and longer wait. A wait of our own says nothing about the
        portal.

        Args:
            failure: what happened.
            started_s: when the call started, on the monotonic clock. Calls that were in flight together meet the same
                trouble, which counts once.
        """
        if failure.action is Remedy.WAIT:
            return Relief(
                rest=NewRest(failure.retry_after_s or 0.0, known_reason(failure.reason) or StateReason.LOGIN_GUARD)
            )
        away = not failure.sent and failure.action is Remedy.RETRY
        slow_down = failure.action is Remedy.SLOW_DOWN
        # Zero, or a time in the past, is no usable wish: following it again and again would hammer the portal.
        asked_s = failure.retry_after_s or None
        if not slow_down and not away and asked_s is None:
            return Relief()
        if started_s >= self._last_s:
            self._in_a_row += 1
            self._last_s = time.monotonic()
        # For a portal that stays away (503, 502), we wait. Cutting the rate again and again would only leave it at a
        # crawl for minutes after the portal is back.
        cut = slow_down and (failure.http_status == 429 or self._in_a_row == 1)
        # A log-in that failed has the word for what went wrong with its call, such as timeout.
        reason = (known_reason(failure.reason) if away else None) or StateReason.PUSH_BACK
        if asked_s is not None:
            return Relief(cut, NewRest(min(asked_s, self._asked_max_s), reason, asked_s))
        waits = self._in_a_row - (CUTS_BEFORE_WAITING if failure.http_status == 429 else 0)
        if waits < 1:
            return Relief(cut)
        # Bounded before the power is taken: for a portal that is away for a day, it would not fit into a float.
        return Relief(cut, NewRest(min(self._max_s, self._base_s * 2.0 ** min(waits - 1, 64)), reason))


@dataclass(frozen=True, slots=True)
class Relief:
    """How a portal is spared.

    Attributes:
        slow_down: whether its learned rate is cut.
        rest: how long no worker calls it; None for no rest.
    """

    slow_down: bool = False
    rest: NewRest | None = None
