"""Reads our own documents, so that tests can compare them with what the program does."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Every page that users read.
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_MARKER = re.compile(r"<!-- readme-test: (.*) -->")
_FENCE = re.compile(r"\s*```(\w*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: the word after its fence.
        marker: what the comment before it tells the tests; empty if there is none.
        lines: its content.
        number: line number of its first line in the page.
    """

    language: str
    marker: str
    lines: tuple[str, ...]
    number: int

    def steps(self) -> list[tuple[str, list[str]]]:
        """Return the commands of a console block, each with the output shown for it."""
        steps: list[tuple[str, list[str]]] = []
        for line in self.lines:
            if line.startswith("$ "):
                steps.append((line.removeprefix("$ "), []))
            elif steps[-1][0].endswith("\\"):
                steps[-1] = (steps[-1][0].removesuffix("\\") + line.strip(), [])
            else:
                steps[-1][1].append(line)
        return steps


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found: list[Block] = []
    content: list[str] = []
    language: str | None = None
    marker, start = "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and language is None:
            language, content, start = fence[1], [], number + 1
        elif fence and language is not None:
            found.append(Block(language, marker, tuple(content), start))
            marker, language = "", None
        elif language is not None:
            content.append(line)
        elif comment := _MARKER.fullmatch(line):
            marker = comment[1]
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def links(page: Path) -> list[str]:
    """Return the targets of all links on a page."""
    return _LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = [line.lstrip("#").strip() for line in prose(page).splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def first_column(page: Path, heading: str) -> list[str]:
    """Return the words in backquotes that begin the rows of the table under a heading."""
    text = prose(page)
    assert f"# {heading}\n" in text, f"{page.name} has no heading {heading!r}"
    section = re.split(r"\n#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1)[0]
    rows = section.partition("\n|---")[2]
    return re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)


def make(*arguments: str, **variables: str) -> str:
    """Run make as from a terminal, unaffected by a make that runs the tests; return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["/usr/bin/env", "make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in clean.items() if name not in {"JOBS", "ARGS"}} | variables,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout
