"""Imports run one way: config, jobs, worker, then web and cli; the simulator knows none of them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What each package may import of ours, beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "jobs": {"config"},
    "worker": {"jobs", "config"},
    "web": {"jobs", "config"},
    "cli": {"web", "worker", "jobs", "config", "simulator"},
    "simulator": set(),
}
OURS = set(MAY_IMPORT) | {"tests", "bench", "chaos"}
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, also inside functions and for type checking alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out in full"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_stands_below_it(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert imported(path) & OURS <= MAY_IMPORT[package] | {package}


def test_every_package_was_looked_at() -> None:
    seen = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert seen >= {"config", "jobs", "worker", "web", "cli", "simulator"}
