"""What can be the label of a job: one line of text in any language, with nothing hidden in it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.words.errors import BadSubmission
from jobs.words.labels import LABEL_PATTERN, check_label


@pytest.mark.parametrize(
    "label",
    ["", "spring cleanup", "Frühjahrsputz", "a\u200cb", "👨\u200d👩\u200d👧", "a\xa0b", "\U0001fae9", "x" * 200],
)
def test_a_line_of_text(label: str) -> None:
    assert check_label(label) == label


@pytest.mark.parametrize(
    "label",
    ["a\nb", "a\n", "\x00", "\x1b[2J", "\x7f", "\x85", "a\u2028b", "\u202egnp.exe", "\u2066", "\udcff", "x" * 201],
)
def test_what_is_not_a_label(label: str) -> None:
    with pytest.raises(BadSubmission, match="printable"):
        check_label(label)


@given(st.text(max_size=200))
def test_the_pattern_that_callers_are_told_is_the_rule(label: str) -> None:
    told = re.search(LABEL_PATTERN.removesuffix("$") + r"\Z", label) is not None  # $ of JSON Schema is the very end
    try:
        check_label(label)
    except BadSubmission:
        assert not told
    else:
        assert told
