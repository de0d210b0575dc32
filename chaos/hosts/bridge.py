"""Hosts that are network namespaces, each with one interface on a common bridge.

Each host holds a fixed table of the others' link addresses. Two hosts are parted by entries that lead nowhere: their
packets leave and are lost without a word, in both directions, as behind a broken switch. Other entries lead past the
host that delivers late. So any pair can be cut or slowed down without touching the others, and the kernel needs no more
than namespaces, a bridge and pairs of interfaces.
"""

import asyncio
import contextlib
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Sequence

from bench.process import running
from chaos.hosts.network import OBSERVER, HostsError, Network, Pair
from chaos.hosts.slow_path import LATE, link_address

_BRIDGE = "crm-bridge"
_PREFIX = "10.213.0"
#: Nobody has this link address.
_NOWHERE = "02:00:00:ff:ff:ff"
_SLOW_PATH = "slow-path"


class Bridge(Network):
    """Hosts that are network namespaces; this process is in the network in which they are made.

    Args:
        hosts: their names, at most 200.
    """

    can_part = True

    def __init__(self, hosts: Sequence[str]) -> None:
        super().__init__((*hosts, _SLOW_PATH), _PREFIX)
        self._cuts: Counter[Pair] = Counter()
        self._delays_ms: dict[Pair, list[int]] = defaultdict(list)

    def on(self, host: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs another one on a host."""
        return ["nsenter", f"--net=/run/netns/{host}", *command]

    @contextlib.asynccontextmanager
    async def made(self) -> AsyncIterator[None]:
        """Make the hosts, and let packets be late until the context is left; the hosts end with this process.

        Raises:
            HostsError: `ip` refused something.
        """
        outside = [
            f"link add {_BRIDGE} type bridge",
            f"link set {_BRIDGE} address {link_address(OBSERVER)} addrgenmode none up",
            f"address add {self.prefix}.{OBSERVER}/24 dev {_BRIDGE}",
            "link set lo up",
        ]
        for host, number in self.numbers.items():
            outside += [
                f"netns add {host}",
                f"link add crm-{number} type veth peer name eth0 netns {host}",
                f"link set crm-{number} master {_BRIDGE} addrgenmode none up",
                f"neighbour add {self.address(host)} lladdr {link_address(number)} dev {_BRIDGE} nud permanent",
            ]
        await _ip([], outside)
        await asyncio.gather(*(self._join(host) for host in self.hosts))
        async with running(_SLOW_PATH, self.on(_SLOW_PATH, [sys.executable, "-m", "chaos.hosts.slow_path"])):
            yield

    async def _join(self, host: str) -> None:
        interface = [
            "link set lo up",
            f"link set eth0 address {link_address(self.numbers[host])} addrgenmode none up",
            f"address add {self.address(host)}/24 dev eth0",
            f"neighbour add {self.prefix}.{OBSERVER} lladdr {link_address(OBSERVER)} dev eth0 nud permanent",
        ]
        others = [self._neighbour(host, other) for other in self.hosts if other != host]
        await _ip(["-n", host], interface + others)

    @contextlib.asynccontextmanager
    async def cut(self, parted: Collection[Pair]) -> AsyncIterator[None]:
        """Let no packet pass between the hosts of these pairs, until the context is left."""
        try:
            self._cuts.update(parted)
            await self._set(parted)
            yield
        finally:
            self._cuts.subtract(parted)
            await self._set(parted)

    @contextlib.asynccontextmanager
    async def slowed(self, slow: Collection[Pair], delay_ms: int) -> AsyncIterator[None]:
        """Let every packet between the hosts of these pairs take so long, until the context is left.

        Args:
            slow: the pairs.
            delay_ms: one way, 1 to 60,000.
        """
        try:
            for pair in slow:
                self._delays_ms[pair].append(delay_ms)
            await self._set(slow)
            yield
        finally:
            for pair in slow:
                self._delays_ms[pair].remove(delay_ms)
            await self._set(slow)

    async def _set(self, changed: Collection[Pair]) -> None:
        of_hosts: dict[str, list[str]] = defaultdict(list)
        for one, other in changed:
            of_hosts[one].append(self._neighbour(one, other))
            of_hosts[other].append(self._neighbour(other, one))
        await asyncio.gather(*(_ip(["-n", host], entries) for host, entries in of_hosts.items()))

    def _neighbour(self, host: str, other: str) -> str:
        pair, number = Pair((host, other)), self.numbers[other]
        delays_ms = self._delays_ms.get(pair)
        leads_to = link_address(number)
        if self._cuts[pair] > 0:
            leads_to = _NOWHERE
        elif delays_ms:
            leads_to = LATE.link_address(number, max(delays_ms))
        return f"neighbour replace {self.address(other)} lladdr {leads_to} dev eth0 nud permanent"


async def _ip(options: Sequence[str], lines: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        "ip",
        *options,
        "-batch",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate("\n".join(lines).encode())
    if process.returncode:
        raise HostsError(f"ip {' '.join(options)} refused: {said.decode(errors='replace').strip()}")
