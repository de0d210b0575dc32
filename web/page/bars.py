"""The bar that shows what became of a job's contacts: widths in whole steps that add up, and the same in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.words.outcomes import Outcome
from web.page.text import plural, share
from web.page.words import OUTCOMES

#: Width of a whole bar in its own units.
WIDTH = 1000
#: Narrowest piece: one failed contact among ten million still shows.
LEAST = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a bar.

    Attributes:
        outcome: which.
        x: where it begins, 0 to `WIDTH`.
        width: how wide it is.
    """

    outcome: Outcome
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar and what it says.

    Attributes:
        pieces: from left to right, without gaps; what is pending has none.
        text: the same in words.
    """

    pieces: tuple[Piece, ...]
    text: str


def outcome_bar(counts: Mapping[Outcome, int]) -> Bar:
    """Lay out the counts of a job.

    Args:
        counts: contact IDs by outcome.
    """
    total = sum(counts.values())
    widths = {outcome: _width(counts[outcome], total) for outcome in OUTCOMES if counts.get(outcome)}
    while (surplus := sum(widths.values()) - WIDTH) != 0 and widths:
        # What rounding and the least width add up to is taken from, or given to, the widest: no one notices it there.
        widest = max(widths, key=widths.__getitem__)
        widths[widest] -= surplus
    pieces, x = [], 0
    for outcome, width in widths.items():
        if outcome is not Outcome.PENDING:
            pieces.append(Piece(outcome, x, width))
            x += width
    told = [
        f"{plural(counts[outcome], 'contact')} {OUTCOMES[outcome].label.lower()} ({share(counts[outcome], total)})"
        for outcome in widths
    ]
    return Bar(tuple(pieces), ", ".join(told) or "no contacts")


def _width(count: int, total: int) -> int:
    return max(LEAST, round(count * WIDTH / total))
