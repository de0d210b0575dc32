"""Which texts can be labels."""

import re

from jobs.words.errors import BadSubmission

#: One line that shows what it says: no control characters, no line separators, nothing that changes the direction of
#: what follows. Characters that join letters or emoji are harmless. The same in Python and in JSON Schema.
LABEL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
_LABEL = re.compile(LABEL_PATTERN.removesuffix("$"))
#: Longest label, characters.
MAX_LABEL = 200


def check_label(label: str) -> str:
    """Return the label unchanged if it can be one.

    Raises:
        BadSubmission: it cannot.
    """
    if len(label) > MAX_LABEL or not _LABEL.fullmatch(label) or not _is_text(label):
        raise BadSubmission(
            f"label: given {label[:80]!r} of {len(label):,} characters, expected at most {MAX_LABEL} printable ones"
        )
    return label


def _is_text(label: str) -> bool:
    """Check that nothing in it represents bytes that are not text, as in a badly encoded argument."""
    return not any("\ud800" <= character <= "\udfff" for character in label)
