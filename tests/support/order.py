"""The order of a parallel run: what takes long begins at once, so that nothing long is left for the end.

With `--dist worksteal`, each process gets a slice of the list and works from its front; one that has nothing left takes
from the back of another's slice. So each slice begins with long modules and ends with unit tests.
"""

from collections.abc import Sequence

#: Modules with tests that take ten seconds or more, the longest first.
LONGEST = (
    "tests/acceptance/test_api_schema.py",
    "tests/integration/test_chaos_smoke.py",
    "tests/integration/test_replicated_writes.py",
    "tests/acceptance/test_readme.py",
    "tests/acceptance/test_browser_looks.py",
    "tests/acceptance/test_cli_restore.py",
    "tests/integration/test_redis_rights.py",
    "tests/integration/test_bench_sections.py",
    "tests/unit/test_intake_csv_laws.py",
    "tests/integration/test_restore_lost_answers.py",
    "tests/integration/test_clock_that_jumps.py",
    "tests/integration/test_worker_faults.py",
    "tests/acceptance/test_browser_campaign.py",
    "tests/acceptance/test_browser_story.py",
    "tests/acceptance/test_cli_own_server.py",
    "tests/acceptance/test_worker_process.py",
)
_LAYERS = ("tests/acceptance", "tests/integration", "tests/unit")


def in_slices(modules: Sequence[str], slices: int) -> list[int]:
    """Return the order in which to run tests.

    Args:
        modules: for each test, in the order of collection, the path of its module from the root.
        slices: number of processes.

    Returns:
        The positions of all tests. Those of one module stay together, as they may share a browser or a server; only
        quick ones are divided, to make the slices equal.
    """
    tests: dict[str, list[int]] = {}
    for position, module in enumerate(modules):
        tests.setdefault(module, []).append(position)
    ranked = sorted(tests, key=_rank)
    slow = [module for module in ranked if not _is_quick(module)]
    quick = [position for module in ranked if _is_quick(module) for position in tests[module]]
    order: list[int] = []
    for number in range(slices):
        own = [position for module in slow[number::slices] for position in tests[module]]
        room = max(0, (len(modules) - len(order)) // (slices - number) - len(own))
        order += own + quick[:room]
        del quick[:room]
    return order + quick


def _rank(module: str) -> tuple[int, int]:
    layer = next((rank for rank, layer in enumerate(_LAYERS) if module.startswith(layer)), len(_LAYERS))
    return (LONGEST.index(module) if module in LONGEST else len(LONGEST)), layer


def _is_quick(module: str) -> bool:
    return module.startswith("tests/unit/") and module not in LONGEST
