"""Hosts that are no more than loopback addresses: they need no rights, and nothing can come between them."""

import contextlib
import secrets
from collections.abc import Collection, Sequence

from chaos.hosts.network import HostsError, Network, Pair


class Loopback(Network):
    """Hosts on loopback addresses that no other run is likely to have.

    Args:
        hosts: their names.
    """

    can_part = False

    def __init__(self, hosts: Sequence[str]) -> None:
        super().__init__(hosts, f"127.{20 + secrets.randbelow(200)}.{secrets.randbelow(255)}")

    def made(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Do nothing: the addresses are there."""
        return contextlib.nullcontext()

    def on(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the command itself; what listens is told on which address."""
        del host
        return list(command)

    def cut(self, parted: Collection[Pair]) -> contextlib.AbstractAsyncContextManager[None]:
        """Refuse: these hosts cannot be parted."""
        raise HostsError(f"hosts on loopback cannot be parted: {parted}")

    def slowed(self, slow: Collection[Pair], delay_ms: int) -> contextlib.AbstractAsyncContextManager[None]:
        """Refuse: these hosts cannot be slowed down."""
        raise HostsError(f"hosts on loopback cannot be slowed down by {delay_ms} ms: {slow}")
