"""How long to leave a portal alone that asks for less or cannot be reached."""

import time

from jobs.ledger import Settlement
from worker.answers import Action, Failure


class PushBack:
    """Counts the troubles of one portal in a row, as this process sees them.

    Args:
        base_s: wait after the first one, when the portal does not say; doubles with each further one.
        max_s: longest wait.
    """

    def __init__(self, base_s: float, max_s: float) -> None:
        self._base_s = base_s
        self._max_s = max_s
        self._in_a_row = 0
        self._last_s = float("-inf")

    def calm(self) -> None:
        """The portal answered well."""
        self._in_a_row = 0

    def note(self, settlement: Settlement, failure: Failure, started_s: float) -> None:
        """Add to a settlement how the portal is to be spared, where the failure asks for that.

        The learned rate is cut at every push-back. Beyond that nobody calls for as long as the portal says; where it
        does not say, a 429 alone is met by the cut, and anything else, or the next trouble in a row, by a longer and
        longer wait.

        Args:
            settlement: of the batch that failed.
            failure: what happened.
            started_s: when the call started, on the monotonic clock. Calls that were under way together meet the same
                trouble, which counts once.
        """
        away = not failure.sent and failure.action is Action.RETRY
        settlement.slow_down = failure.action is Action.SLOW_DOWN
        if not settlement.slow_down and not away and failure.retry_after_s is None:
            return
        if started_s >= self._last_s:
            self._in_a_row += 1
            self._last_s = time.monotonic()
        if failure.retry_after_s is not None:
            wait_s = failure.retry_after_s
        elif failure.http_status == 429 and self._in_a_row == 1:
            return
        else:
            # Bounded before the power is taken: for a portal that is away for a day, a float could not hold it.
            wait_s = min(self._max_s, self._base_s * 2.0 ** min(self._in_a_row - 1, 64))
        settlement.push_back_s = wait_s
        settlement.push_back_reason = failure.reason if away else "push_back"
