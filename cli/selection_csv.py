"""Selected contacts as a CSV: for people to look at in a spreadsheet, and to be read again as a list of contact IDs."""

import csv
import io
import re
from collections.abc import Iterable

from jobs.words.verdicts import Verdict
from worker.portal_answers import Contact

HEADER = "id,display_name,kind,tags,created,deletable\n"

#: What a spreadsheet would take for the beginning of a formula.
_FORMULA = re.compile(r"[=+\-@\t\r]")
#: Whatever some program takes for the end of a line, and control characters.
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FRACTION = re.compile(r"\.[0-9]+")


def rows(contacts: Iterable[tuple[Contact, Verdict]]) -> str:
    """Return one line per contact, each with a line end.

    Args:
        contacts: the contacts, each with what a plan would predict for it.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_row(contact, verdict) for contact, verdict in contacts)
    return text.getvalue()


def _row(contact: Contact, verdict: Verdict) -> tuple[int | str, ...]:
    return (
        contact.id,
        _cell(contact.display_name),
        "company" if contact.is_company else "person",
        _cell("; ".join(contact.tags)),
        _cell(_FRACTION.sub("", contact.created, count=1)),
        "yes" if verdict is Verdict.DELETABLE else verdict.value,
    )


def _cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs, on one line."""
    # Before line breaks become blanks: a tab or a carriage return at the beginning can start a formula as well.
    marked = f"'{text}" if _FORMULA.match(text) else text
    return _BREAKS.sub(" ", marked)
