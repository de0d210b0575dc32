"""Searches for lists from which the intake reads IDs that are not on them.

    python -m tests.support.intake_fuzz [--seconds 600] [--seed 1]

Every example is a random table, written by one of several kinds of exporter, then perhaps damaged: cut off, with a
character lost, or with a quote mark, a delimiter or a line end too many. It is read in pieces of random size. The
checks:

- an undamaged table gives exactly the IDs of its column, or is refused; one that needs no quotes is never refused;
- damaged or not, the outcome is that of the slow reader in `csv_oracle`, bad lines included.
"""

import argparse
import math
import random
import sys
import time
from collections import Counter

import pytest

from jobs.intake import parser as intake
from jobs.intake.parser import IntakeParser
from jobs.intake.tally import IntakeError
from tests.support.csv_oracle import judge
from tests.support.csv_tables import DELIMITERS, QUOTING, Table, Writer, by_plain_exporter, random_table

_ALPHABET = 'ab 057"\n,;|\t\r'


def fuzz(seed: int, lists: int = sys.maxsize, *, seconds: float = math.inf) -> Counter[str]:
    """Try random lists, so many of them, or for so long.

    Returns:
        How many of each kind were tried, taken and refused.

    Raises:
        AssertionError: a list was read wrongly; the message contains it.
    """
    counts: Counter[str] = Counter()
    ends_s = time.monotonic() + seconds
    for number in range(lists):
        if number % 100 == 0 and time.monotonic() >= ends_s:
            break
        try_one(random.Random(f"{seed}:{number}"), counts)
    return counts


def try_one(rng: random.Random, counts: Counter[str]) -> None:
    """Make one list, read it, and compare."""
    delimiter, end = rng.choice(DELIMITERS), rng.choice(["\n", "\r\n", "\r"])
    write, alphabet = _kind(rng, delimiter)
    table = random_table(rng, alphabet)
    text = write(table, delimiter, end)
    header_length = len(delimiter.join(table.header)) + len(end)
    if write is not by_plain_exporter and text.startswith('"'):
        header_length += 2 * len(table.header)
    damaged = rng.random() < 0.5
    if damaged:
        text = text[:header_length] + _damaged(rng, text[header_length:], delimiter)
    if text[header_length - 1 : header_length + 1] == "\r\n":
        header_length += 1  # the first row begins with the other half of a line end
    taken, bad_lines = read(rng, text)
    told = f"{text!r} gave {taken}, bad lines {bad_lines}"

    width = len(table.header)
    # A header of one column does not show the delimiter; a comma is assumed.
    verdict = judge(text[header_length:], delimiter if width > 1 else ",", width, table.position)
    assert taken == (None if verdict.refused else sorted(set(verdict.ids))), f"{told}, not {verdict}"
    if taken is None and not verdict.ambiguous:
        assert bad_lines == verdict.bad_lines[:10], f"{told}, not {verdict}"
    if not damaged:
        assert taken in (None, table.ids), f"{told}, not {table.ids}"
        if needs_no_quotes(table, delimiter):
            assert taken is not None, told
    counts[f"{write.__name__}, {'damaged' if damaged else 'whole'}, {'taken' if taken else 'refused'}"] += 1


def needs_no_quotes(table: Table, delimiter: str) -> bool:
    """Check whether every exporter writes the table in the same way, so that there is only one way to read it."""
    return not any(mark in cell for row in table.rows for cell in row for mark in ('"', delimiter, "\r", "\n"))


def read(rng: random.Random, text: str) -> tuple[list[int] | None, list[int]]:
    """Read a list in pieces; return its IDs, or None and the lines that were reported as bad."""
    data = text.encode("latin-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "BLOCK_BYTES", rng.choice([1, 3, 16, 1 << 19]))
        parser = IntakeParser(form="csv")
        step = rng.choice([1, 5, 1000])
        try:
            for start in range(0, len(data), step):
                parser.feed(data[start : start + step])
            return list(parser.close().ids), []
        except IntakeError as error:
            return None, [bad.line for bad in error.bad_lines]


def _kind(rng: random.Random, delimiter: str) -> tuple[Writer, str]:
    if rng.random() < 0.6:
        return rng.choice(QUOTING), _ALPHABET
    # Without quotes, one text may stand for many tables, and only what is there can be read. A delimiter and a
    # quote mark in one table, or a delimiter and a line break, can make a row that looks like a whole one.
    without = rng.choice([(delimiter, "\n", "\r"), ('"', "\n", "\r"), (delimiter, '"')])
    return by_plain_exporter, "".join(mark for mark in _ALPHABET if mark not in without)


def _damaged(rng: random.Random, text: str, delimiter: str) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(text))
        match rng.randrange(5):
            case 0:
                text = text[:at]
            case 1:
                text = text[:at] + text[at + 1 :]
            case 2:
                text = text[:at] + '"' + text[at:]
            case 3:
                text = text[:at] + delimiter + text[at:]
            case _:
                text = text[:at] + "\n" + text[at:]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = fuzz(options.seed, seconds=options.seconds)
    for kind, count in sorted(counts.items()):
        print(f"{count:>9,}  {kind}")  # noqa: T201
    print(f"{counts.total():>9,}  lists, none read wrongly")  # noqa: T201


if __name__ == "__main__":
    main()
