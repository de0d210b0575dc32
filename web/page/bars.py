"""The bars of a job's contacts, by outcome or verdict: widths in whole steps that add up, and the same in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from jobs.words.outcomes import Outcome
from jobs.words.verdicts import Verdict
from web.page.text import plural, share
from web.page.words import OUTCOMES, VERDICTS

#: Width of a whole bar in its own units.
WIDTH = 1000
#: Narrowest piece: one failed contact among ten million still shows.
LEAST = 6

T = TypeVar("T", Outcome, Verdict)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a bar.

    Attributes:
        of: which outcome or verdict.
        x: where it begins, 0 to `WIDTH`.
        width: how wide it is.
    """

    of: Outcome | Verdict
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
    return _lay_out(counts, {outcome: words.label.lower() for outcome, words in OUTCOMES.items()})


def verdict_bar(counts: Mapping[Verdict, int]) -> Bar:
    """Lay out the counts of a plan.

    Args:
        counts: contact IDs by verdict.
    """
    return _lay_out(counts, {verdict: words.label.lower() for verdict, words in VERDICTS.items()})


def _lay_out(counts: Mapping[T, int], labels: Mapping[T, str]) -> Bar:
    total = sum(counts.values())
    widths = {part: _width(counts[part], total) for part in labels if counts.get(part)}
    while (surplus := sum(widths.values()) - WIDTH) != 0 and widths:
        # What rounding and the least width add up to is taken from, or given to, the widest: no one notices it there.
        widest = max(widths, key=widths.__getitem__)
        widths[widest] -= surplus
    pieces, x = [], 0
    for part, width in widths.items():
        if part is not Outcome.PENDING:
            pieces.append(Piece(part, x, width))
            x += width
    told = [f"{plural(counts[part], 'contact')} {labels[part]} ({share(counts[part], total)})" for part in widths]
    return Bar(tuple(pieces), ", ".join(told) or "no contacts")


def _width(count: int, total: int) -> int:
    return max(LEAST, round(count * WIDTH / total))
