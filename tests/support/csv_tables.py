"""Tables with a column of contact IDs, and the ways in which programs write them as CSV."""

import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        position: of the ID column.
        rows: the cells, as many in each row.
    """

    position: int
    rows: tuple[tuple[str, ...], ...]

    @property
    def ids(self) -> list[int]:
        return sorted({int(row[self.position]) for row in self.rows})

    @property
    def header(self) -> list[str]:
        names = [f"c{number}" for number in range(len(self.rows[0]))]
        names[self.position] = "id"
        return names


Writer = Callable[[Table, str, str], str]


def by_python(table: Table, delimiter: str, end: str) -> str:
    """Write as Python's csv module does: with quotes where they are needed."""
    return _by_python(table, delimiter, end, csv.QUOTE_MINIMAL)


def by_python_quoting_all(table: Table, delimiter: str, end: str) -> str:
    return _by_python(table, delimiter, end, csv.QUOTE_ALL)


def _by_python(table: Table, delimiter: str, end: str, quoting: int) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return text.getvalue()


def by_spreadsheet(table: Table, delimiter: str, end: str) -> str:
    """Write as a spreadsheet does: a cell is quoted where it has to be, and its line breaks are line feeds."""

    def cell(text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in (delimiter, '"', "\n")) else text

    return "".join(delimiter.join(map(cell, row)) + end for row in (table.header, *table.rows))


def by_plain_exporter(table: Table, delimiter: str, end: str) -> str:
    """Write as an exporter that never quotes."""
    return "".join(delimiter.join(row) + end for row in (table.header, *table.rows))


QUOTING: tuple[Writer, ...] = (by_python, by_python_quoting_all, by_spreadsheet)


def random_table(rng: random.Random, alphabet: str, *, most_rows: int = 6) -> Table:
    """Make a table whose other cells are a few characters from an alphabet."""
    width = rng.randint(1, 5)
    position = rng.randrange(width)

    def cell(column: int) -> str:
        if column == position:
            return str(rng.randint(1, rng.choice([9, 99, 999, 99_999])))
        return "".join(rng.choice(alphabet) for _ in range(rng.choice([0, 1, 2, 3, 6])))

    return Table(
        position,
        tuple(tuple(cell(column) for column in range(width)) for _ in range(rng.randint(1, most_rows))),
    )
