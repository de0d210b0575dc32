"""The generated parts of the documentation are up to date."""

import pytest

from tests.support.documents import ROOT
from tools.pages import PARTS, Part


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_is_up_to_date(part: Part) -> None:
    page = (ROOT / part.page).read_text(encoding="utf-8")
    assert page == part.put_into(page), "run `make docs`"


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"README\.md has no <!-- reasons"):
        PARTS[0].put_into("a page")
