"""Imports run one way: config <- jobs <- worker <- cli, and the simulator stands alone."""

import ast
from pathlib import Path

import pytest

from tests.documents import ROOT

#: What the modules of a package may import of ours, beside their own package.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "simulator": set(),
    "jobs": {"config"},
    "worker": {"config", "jobs"},
    "cli": {"config", "jobs", "worker", "simulator"},
}

MODULES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(source: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name} imports relatively; name the package"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("source", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_it(source: Path) -> None:
    package = source.relative_to(ROOT).parts[0]
    ours = imported(source) & (MAY_IMPORT.keys() | {"tests", "bench"})
    assert ours <= MAY_IMPORT[package] | {package}
