"""How long to leave a portal alone that asks for less or cannot be reached."""

import time

from jobs.lanes.settlement import Settlement
from worker.portal_answers import Action, Failure
from worker.retry_after import LONGEST_S

#: So many 429s in a row are met by cutting the learned rate alone. It is a small part of what it was by then, and calls
#: are far apart anyway; waiting from the second one on would lose seconds at every step down.
CUTS_BEFORE_WAITING = 4


class PushBack:
    """Counts the troubles of one portal in a row, as this process sees them.

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
        """The portal answered well."""
        self._in_a_row = 0

    def note(self, settlement: Settlement, failure: Failure, started_s: float) -> None:
        """Add to a settlement how the portal is to be spared, where the failure asks for that.

        The learned rate is cut at every 429, and at the first of other push-backs in a row. Beyond that nobody calls
        for as long as the portal says; where it does not say, a few 429s in a row are met by the cuts, and anything
        else, or one more of them, by a longer and longer wait. A wait of our own making says nothing about the portal.

        Args:
            settlement: of the batch that failed.
            failure: what happened.
            started_s: when the call started, on the monotonic clock. Calls that were under way together meet the same
                trouble, which counts once.
        """
        if failure.action is Action.WAIT:
            settlement.push_back_s, settlement.push_back_reason = failure.retry_after_s, failure.reason
            return
        away = not failure.sent and failure.action is Action.RETRY
        slow_down = failure.action is Action.SLOW_DOWN
        # "At once", or a moment that has passed: no wish that could be kept to, again and again, without hammering.
        asked_s = failure.retry_after_s or None
        if not slow_down and not away and asked_s is None:
            return
        if started_s >= self._last_s:
            self._in_a_row += 1
            self._last_s = time.monotonic()
        # A portal that stays away (503, 502) is waited for. Cutting the rate again and again would only leave it at a
        # crawl for minutes after it is back.
        settlement.slow_down = slow_down and (failure.http_status == 429 or self._in_a_row == 1)
        if asked_s is not None:
            settlement.asked_s, wait_s = asked_s, min(asked_s, self._asked_max_s)
        else:
            waits = self._in_a_row - (CUTS_BEFORE_WAITING if failure.http_status == 429 else 0)
            if waits < 1:
                return
            # Bounded before the power is taken: for a portal that is away for a day, a float could not hold it.
            wait_s = min(self._max_s, self._base_s * 2.0 ** min(waits - 1, 64))
        settlement.push_back_s = wait_s
        settlement.push_back_reason = failure.reason if away else "push_back"
