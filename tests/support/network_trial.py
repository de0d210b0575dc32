"""Makes hosts in a network of its own, parts them and slows them down, and says as JSON what got through.

`python -m tests.support.network_trial` prints `{"before": {"a-b": 0.001, …}, "cut": …}`: for each phase, how long a
message took from one host to another and back, in seconds, or null where nothing came back.
"""

import asyncio
import contextlib
import json
import sys

from bench.process import Child, running
from chaos.hosts.bridge import Bridge
from chaos.hosts.namespaces import enter, is_inside
from chaos.hosts.network import pairs

HOSTS = ("a", "b", "c")
#: One way.
DELAY_MS = 150

Measured = dict[str, float | None]


async def _measure(network: Bridge, agents: dict[str, Child]) -> Measured:
    async def from_host(host: str) -> Measured:
        told: Measured = {}
        for other in HOSTS:
            if other != host:
                await agents[host].say(network.address(other))
                told[f"{host}-{other}"] = json.loads(await agents[host].expect(r"^(null|[0-9.]+)$"))
        return told

    return {way: took_s for told in await asyncio.gather(*map(from_host, HOSTS)) for way, took_s in told.items()}


async def _tell() -> dict[str, Measured]:
    network = Bridge(HOSTS)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(network.made())
        agents = {}
        for host in HOSTS:
            command = [sys.executable, "-m", "tests.support.network_agent", network.address(host)]
            agents[host] = await stack.enter_async_context(running(host, network.on(host, command)))
        told = {"before": await _measure(network, agents)}
        async with network.cut(pairs("a", "b")):
            told["cut"] = await _measure(network, agents)
        async with network.cut(pairs("a", "bc")):
            async with network.cut(pairs("a", "b")):
                pass
            told["cut off"] = await _measure(network, agents)
        async with network.slowed(pairs("a", "b"), DELAY_MS):
            told["slowed"] = await _measure(network, agents)
        told["after"] = await _measure(network, agents)
    return told


def main() -> None:
    """Make the hosts, in a network of its own, and tell."""
    if not is_inside():
        enter([sys.executable, "-m", "tests.support.network_trial"])
    sys.stdout.write(json.dumps(asyncio.run(_tell())))


if __name__ == "__main__":
    main()
