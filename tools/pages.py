"""Which parts of which pages are made from code, and how they get there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import configuration_table, failures, http_reference, keys_table, reasons_table, states_diagram

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page between two marks.

    Attributes:
        page: the page, from the project's root.
        name: what the marks call it.
        render: returns its text.
    """

    page: str
    name: str
    render: Callable[[], str]

    @property
    def path(self) -> Path:
        """Where the page is."""
        return ROOT / self.page

    def put_into(self, text: str) -> str:
        """Return a page with this part brought up to date.

        Raises:
            ValueError: the page lacks the marks.
        """
        begin, end = f"<!-- {self.name}: made by `make docs` -->", f"<!-- end of {self.name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{self.page} has no {begin} … {end}")
        return f"{before}{begin}\n\n{self.render()}\n\n{end}{after}"


PARTS = (
    Part("README.md", "reasons", reasons_table.render),
    Part("docs/configuration.md", "settings", configuration_table.render),
    Part("docs/failures.md", "failures", failures.render),
    Part("docs/how-it-works.md", "keys", keys_table.render),
    Part("docs/how-it-works.md", "states", states_diagram.render),
    Part("docs/http-api.md", "reference", http_reference.render),
)
