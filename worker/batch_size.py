"""How many contact IDs go into one PUT: as many as the portal deletes in a few seconds. Pure arithmetic.

Long calls are the dangerous ones (a gateway gives up, locks are held, a crash leaves more in doubt), short ones waste
the portal's fixed cost per call and, under a rate limit, calls themselves.
"""

import math

#: The most that batches grow at a time, and what they shrink by after one that was too large or took far too long.
GROWTH = 1.5
SHRINK = 0.5


def after_answer(current: int, sent: int, took_s: float, most: int, target_s: float) -> int:
    """Return the size of the next batches after a PUT that was answered.

    Args:
        current: contact IDs per batch now.
        sent: contact IDs of this batch; one that was cut short by the end of a list says little.
        took_s: how long its answer took.
        most: the configured upper bound.
        target_s: how long a PUT should take.
    """
    if sent < current:
        return min(current, most)
    ideal = sent * target_s / max(took_s, 0.001)
    # Rounded up on the way up: with a high fixed cost, one contact more is less than half a contact in the formula.
    wanted = math.ceil(ideal) if ideal > sent else round(ideal)
    return max(1, min(wanted, round(current * GROWTH) + 1, most))


def after_overload(sent: int, most: int) -> int:
    """Return the size of the next batches after one that was too large or took too long."""
    return max(1, min(round(sent * SHRINK), most))
