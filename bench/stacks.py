"""What a sampler saw: stacks of calls with the number of times that each was seen, and whose time that was."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>.*?)(?::\d+)?\)$")
_LOOP = ("uvloop", "asyncio.runners", "asyncio.base_events")
_START = ("bench.ours", "importlib._bootstrap")  # the worker's start and end, which are no part of a call

#: Whose time it is, by the beginning of a module's name; the first that fits.
GROUPS: dict[str, tuple[str, ...]] = {
    "event loop, sockets": ("uvloop", "asyncio"),
    "aiohttp": ("aiohttp", "aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"),
    "redis-py": ("redis", "hiredis", "arq"),
    "reading answers, msgspec": ("worker.envelope", "msgspec"),
    "portal client": ("worker.exchange", "worker.portal_answers", "worker.portal_client", "worker.wire"),
    "logging": ("config.logging", "config.masking", "config.tracing", "structlog", "logging"),
    "lanes": ("worker",),
    "ledger": ("jobs.lanes", "jobs.ledger"),
    "store": ("jobs.store",),
}
LOOP, OTHER = next(iter(GROUPS)), "everything else"


class Frame(NamedTuple):
    """One function on a stack."""

    module: str
    function: str

    @property
    def name(self) -> str:
        """The function with its module, as Python would write it."""
        return f"{self.module}.{self.function}" if self.module else self.function


Stack = tuple[Frame, ...]  #: from the event loop's callback to the function that was running; empty: the loop itself


def read_stacks(text: str) -> Counter[Stack]:
    """Read the folded stacks that py-spy has written, and keep those of the event loop at work.

    Imports, other threads, and the worker's start and end are left out.
    """
    stacks: Counter[Stack] = Counter()
    for line in text.splitlines():
        folded, _, times = line.rpartition(" ")
        whole = tuple(_frame(part) for part in folded.split(";"))
        below = [number for number, frame in enumerate(whole) if _starts_with(frame.module, _LOOP)]
        if not below:
            continue
        stack = whole[below[-1] + 1 :]
        if not any(_starts_with(frame.module, _START) for frame in stack):
            stacks[stack] += int(times)
    return stacks


def group_of(stack: Stack) -> str:
    """Return whose time a stack is: that of the last function which is not of the standard library."""
    for frame in reversed(stack):
        top = frame.module.partition(".")[0]
        if top and top not in sys.stdlib_module_names:
            return group_of_module(frame.module)
    return LOOP


def group_of_module(module: str) -> str:
    """Return the group that a module belongs to."""
    return next((group for group, modules in GROUPS.items() if _starts_with(module, modules)), OTHER)


def by_group(stacks: Mapping[Stack, int]) -> dict[str, float]:
    """Return each group's share of all samples, largest first."""
    counts: Counter[str] = Counter()
    for stack, times in stacks.items():
        counts[group_of(stack)] += times
    return _shares(counts, stacks.values())


def own_shares(stacks: Mapping[Stack, int]) -> dict[str, float]:
    """Return the share of samples in which a function was the one running, by function, largest first.

    What a function calls in C counts as its own.
    """
    counts: Counter[str] = Counter()
    for stack, times in stacks.items():
        counts[stack[-1].name if stack else LOOP] += times
    return _shares(counts, stacks.values())


def shares_with_callees(stacks: Mapping[Stack, int]) -> dict[str, float]:
    """Return the share of samples in which a function was on the stack, by function, largest first."""
    counts: Counter[str] = Counter()
    for stack, times in stacks.items():
        for name in {frame.name for frame in stack}:
            counts[name] += times
    return _shares(counts, stacks.values())


def _shares(counts: Counter[str], samples: Iterable[int]) -> dict[str, float]:
    total = sum(samples)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {name: times / total for name, times in ordered}


def _frame(text: str) -> Frame:
    found = _FRAME.match(text)
    if not found:
        return Frame("", text)
    file = found["file"]
    if file.startswith("<frozen "):
        return Frame(file.removeprefix("<frozen ").removesuffix(">"), found["function"])
    if file.startswith("<"):  # made at run time, such as the methods of a dataclass
        return Frame("", found["function"].replace("__create_fn__.<locals>", "dataclass"))
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return Frame(module, found["function"])


def _starts_with(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)
