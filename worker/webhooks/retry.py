"""When an event that was not delivered is sent again: a decision made of plain values.

The wait before the second try is up to 5 s. It grows fourfold with every further one, up to 2 h, and each wait is drawn
anew between 0 and that bound, so that receivers that come back are not met by everything at once. The last try is made
a day after the event happened.
"""

from collections.abc import Callable

from jobs.webhooks.outbox import GIVE_UP_AFTER_S, LONGEST_WAIT_S

_FIRST_WAIT_S = 5.0
_GROWTH = 4.0
#: Whatever is drawn, a receiver that fails is left alone for this long.
_SHORTEST_WAIT_S = 1.0

#: The receiver wants no events any more.
GONE = 410

#: With these answers, a receiver may say when to come back.
_BUSY = frozenset({429, 503})


def bound_s(attempt: int) -> float:
    """Return the longest wait after so many tries (1 or more), in seconds."""
    # The exponent has a bound of its own: so many tries would make the number too large.
    return min(_FIRST_WAIT_S * _GROWTH ** min(attempt - 1, 16), LONGEST_WAIT_S)


def wait_before_next_s(
    attempt: int,
    age_s: float,
    status: int | None,
    retry_after_s: float | None,
    uniform: Callable[[float, float], float],
) -> float | None:
    """Decide when to try again.

    Args:
        attempt: how many tries have failed, 1 or more.
        age_s: time since the event happened.
        status: HTTP status of the answer; None if there was none.
        retry_after_s: how long the receiver asked to be left alone; None if it did not.
        uniform: returns a random number between two bounds.

    Returns:
        Seconds to wait; None if the event is given up.
    """
    left_s = GIVE_UP_AFTER_S - age_s
    if status == GONE or left_s <= 0:
        return None
    wait_s = max(uniform(0.0, bound_s(attempt)), _SHORTEST_WAIT_S)
    if status in _BUSY and retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
    # A wait of no less than a second, so that it cannot become a hot loop if clocks differ.
    return max(min(wait_s, left_s), _SHORTEST_WAIT_S)
