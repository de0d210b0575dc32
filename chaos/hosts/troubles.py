"""When which host was in trouble: for judging what happened meanwhile."""

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from chaos.mischief import Disturbance


@dataclass(kw_only=True)
class Trouble:
    """One misfortune. Times are Unix times in seconds.

    Attributes:
        name: what happened.
        hosts: whom it concerns; others work as usual.
        start_s, end_s: from when to when; the end is None while it lasts.
        parted_s, joined_s: from when to when hosts were cut off, if they were.
    """

    name: str
    hosts: frozenset[str]
    start_s: float
    end_s: float | None = None
    parted_s: float | None = None
    joined_s: float | None = None

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Record that hosts are cut off until the context is left."""
        self.parted_s = time.time()
        try:
            yield
        finally:
            self.joined_s = time.time()


@dataclass
class Troubles:
    """Every misfortune of a run."""

    all: list[Trouble] = field(default_factory=list)

    @contextlib.contextmanager
    def of(self, name: str, hosts: Collection[str]) -> Iterator[Trouble]:
        """Record a misfortune that lasts until the context is left."""
        trouble = Trouble(name=name, hosts=frozenset(hosts), start_s=time.time())
        self.all.append(trouble)
        try:
            yield trouble
        finally:
            trouble.end_s = time.time()

    def touched(self, host: str, start_s: float, end_s: float) -> bool:
        """Check whether a host was in trouble at any moment of a time."""
        return any(
            host in trouble.hosts and trouble.start_s < end_s and (trouble.end_s is None or trouble.end_s > start_s)
            for trouble in self.all
        )

    @property
    def counts(self) -> Counter[str]:
        """How often each happened."""
        return Counter(trouble.name for trouble in self.all)

    def disturbances(self) -> list[Disturbance]:
        """Return the same for the judge of ledgers."""
        return [Disturbance(trouble.name, trouble.start_s, trouble.end_s or time.time()) for trouble in self.all]
