"""A second reader of CSV lists, to compare the real one with: slow and plain, character by character."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass
class Verdict:
    """What a list says, or why it is refused."""

    ids: list[int] = field(default_factory=list)
    bad_lines: list[int] = field(default_factory=list)
    ambiguous: bool = False
    row_numbers: bool = False

    @property
    def refused(self) -> bool:
        return self.ambiguous or self.row_numbers or bool(self.bad_lines) or not self.ids


def judge(text: str, delimiter: str, width: int, position: int, *, first_line: int = 2) -> Verdict:
    """Read the rows after a header.

    Args:
        text: the rows, one character per byte.
        delimiter: what separates two cells.
        width: of the header.
        position: of the ID column.
        first_line: number of the first line of the text.
    """
    verdict = Verdict()
    usual: int | None = None
    numbered = 0
    lines = _LINE.findall(text)
    number = 0
    while number < len(lines):
        count, cells = _record(lines[number:], delimiter)
        at = first_line + number
        record = lines[number : number + count]
        number += count
        if cells is None:
            verdict.bad_lines.append(at)
            continue
        own = _number(cells[position]) if len(cells) > position else None
        if count > 1 and any(other != own for other in _numbers_by_line(record, delimiter, width, position)):
            verdict.ambiguous = True
            return verdict
        if not any(cell.strip() for cell in cells):
            continue
        too_wide = any(cell.strip() for cell in cells[width:])
        if len(cells) < width or too_wide:
            verdict.bad_lines.append(at)
            continue
        usual = len(cells) if usual is None else usual
        is_longer = position > 0 and len(cells) != usual
        if own is None or is_longer or _is_doubtful(cells, width, position):
            verdict.bad_lines.append(at)
            continue
        verdict.ids.append(own)
        numbered += position == 0 and own == len(verdict.ids) and len(cells) > width and _number(cells[1]) is not None
    verdict.row_numbers = 0 < numbered == len(verdict.ids) and not verdict.bad_lines
    return verdict


def _record(lines: list[str], delimiter: str) -> tuple[int, list[str] | None]:
    """Read one record; return how many lines it takes and its cells, or one line and None if its quoting is broken."""
    text = "".join(lines)
    cells: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] == '"':
            end = at + 1
            while (text[end : end + 1] == '"' and text[end : end + 2] == '""') or text[end : end + 1] not in ('"', ""):
                end += 2 if text[end] == '"' else 1
            if text[end : end + 1] != '"':
                return 1, None
            cells.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
            if text[at : at + 1] not in (delimiter, "\r", "\n", ""):
                return 1, None
        else:
            end = at
            while text[end : end + 1] not in (delimiter, "\r", "\n", ""):
                end += 1
            cells.append(text[at:end])
            at = end
        if text[at : at + 1] != delimiter:
            break
        at += 1
    count = len(_LINE.findall(text[: at + 1])) if at < len(text) else len(lines)
    return count, cells


def _numbers_by_line(lines: list[str], delimiter: str, width: int, position: int) -> Iterator[int]:
    for line in lines:
        bare = line.rstrip("\r\n")
        readings = [bare.split(delimiter)]
        count, cells = _record([bare], delimiter) if bare else (1, [""])
        if cells is not None and count == 1:
            readings.append(cells)
        for reading in readings:
            surplus = max(len(reading) - width, 0) if position else 0
            for cell in reading[position : position + 1 + surplus]:
                if (number := _number(cell)) is not None:
                    yield number


def _is_doubtful(cells: list[str], width: int, position: int) -> bool:
    if len(cells) == width:
        return False
    shifted = cells[position + 1 : position + 1 + len(cells) - width]
    grouped = re.fullmatch(r"\s*[1-9][0-9]{0,2}", cells[position]) and re.fullmatch(r"[0-9]{3}\s*", cells[position + 1])
    return bool(grouped) or (position > 0 and any(_number(cell) is not None for cell in shifted))


def _number(cell: str) -> int | None:
    digits = cell.strip(" \t\r\n")
    if not re.fullmatch(r"[0-9]+", digits) or not 1 <= int(digits) <= 2_147_483_647:
        return None
    return int(digits)
