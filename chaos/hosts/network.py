"""The hosts of a run: where each is, and how to run something on it, cut it off, or slow it down."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

#: Two hosts.
Pair = frozenset[str]

#: Number of the place from which this process looks on; the hosts' numbers follow.
OBSERVER = 1


def pairs(some: Iterable[str], others: Iterable[str]) -> set[Pair]:
    """Return every pair of one of these hosts and one of those."""
    return {Pair((one, other)) for one, other in itertools.product(some, others) if one != other}


class HostsError(RuntimeError):
    """A host could not be made or changed; the message says why."""


class Network(ABC):
    """Hosts with consecutive addresses.

    Args:
        hosts: their names, at most 200.
        prefix: the first three parts of all addresses.
    """

    #: Whether hosts can be cut off and slowed down.
    can_part: bool

    def __init__(self, hosts: Sequence[str], prefix: str) -> None:
        self.hosts = tuple(hosts)
        self.numbers = {host: number for number, host in enumerate(hosts, OBSERVER + 1)}
        self.prefix = prefix

    def address(self, host: str) -> str:
        """Return the IP address of a host."""
        return f"{self.prefix}.{self.numbers[host]}"

    def host_at(self, address: str) -> str:
        """Return the host with an IP address, or the address itself if there is none."""
        return next((host for host in self.hosts if self.address(host) == address), address)

    @abstractmethod
    def made(self) -> AbstractAsyncContextManager[None]:
        """Make the hosts; whatever runs on them has to end before the context is left.

        Raises:
            HostsError: they cannot be made.
        """

    @abstractmethod
    def on(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one on a host."""

    @abstractmethod
    def cut(self, parted: Collection[Pair]) -> AbstractAsyncContextManager[None]:
        """Let no packet pass between the hosts of these pairs, until the context is left.

        Raises:
            HostsError: that is not possible.
        """

    @abstractmethod
    def slowed(self, slow: Collection[Pair], delay_ms: int) -> AbstractAsyncContextManager[None]:
        """Let every packet between the hosts of these pairs take so long, until the context is left.

        Args:
            slow: the pairs.
            delay_ms: one way, 1 to 60,000.

        Raises:
            HostsError: that is not possible.
        """
