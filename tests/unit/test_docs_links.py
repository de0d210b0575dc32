"""Links between our pages lead somewhere."""

from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, anchors, blocks, links


def test_the_pages_are_found() -> None:
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/how-it-works.md", "docs/glossary.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_anchors_exist(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{page.name} links to {target}, which does not exist"
        assert ROOT in linked.parents, f"{page.name} links to {target}, outside the project"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to #{anchor}, which {linked.name} does not have"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_is_closed(page: Path) -> None:
    """An unclosed fence would swallow the rest of the page, and the tests with it."""
    fences = sum(line.lstrip().startswith("```") for line in page.read_text(encoding="utf-8").splitlines())
    assert fences == 2 * len(blocks(page))
