"""Everything that takes part in a run with hosts, started in order."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.process import ChildError
from chaos.hosts.asides import Asides
from chaos.hosts.clients import Clients, calling
from chaos.hosts.cluster import Cluster
from chaos.hosts.failovers import Failovers
from chaos.hosts.network import Network
from chaos.hosts.plan import API_HOST, API_PORT, PORTAL_HOST, PORTAL_PORT, SENTINELS, SERVERS, HostsPlan
from chaos.hosts.promotions import Promotions
from chaos.hosts.troubles import Troubles
from chaos.stage import Process
from simulator.chance import seeded
from simulator.client import SimulatorClient
from simulator.client import connect as connect_to_simulator

_STARTS_WITHIN_S = 60.0
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who takes part.

    Attributes:
        cluster: the servers and Sentinels.
        portal: the simulated portal's switches and its record.
        configuration: the file that workers, API and command line read.
        session: with the API.
        clients: the callers of the API.
        promotions: counts the fail-overs.
        troubles: records the misfortunes.
        failovers: stages those of servers and Sentinels.
        asides: stages all others.
        processes: the API and the workers.
    """

    cluster: Cluster
    portal: SimulatorClient
    configuration: Path
    session: aiohttp.ClientSession
    clients: Clients
    promotions: Promotions
    troubles: Troubles
    failovers: Failovers
    asides: Asides
    processes: Sequence[Process]

    async def watch(self) -> None:
        """Watch the API and the workers, until one of them ends on its own.

        Raises:
            ChildError: it did; carries its name.
        """
        while True:
            for process in self.processes:
                if not process.lock.locked() and await process.ended(0):
                    raise ChildError(f"{process.name} ended on its own; see its log")
            await asyncio.sleep(_LOOK_EVERY_S)


async def start(stack: contextlib.AsyncExitStack, plan: HostsPlan, network: Network, directory: Path) -> Cast:
    """Start everything; it ends when the stack is unwound.

    Args:
        stack: gets what has to end.
        plan: what the run consists of.
        network: has the hosts.
        directory: gets data, the configuration and the logs.

    Raises:
        TimeoutError: something did not become ready.
    """

    def process(host: str, *module: str, ready: str | None = None) -> Process:
        command = network.on(host, [sys.executable, "-m", *module])
        return Process(host, command, directory / f"{host}.log", ready)

    async def started(one: Process) -> Process:
        stack.push_async_callback(one.kill)  # nothing is left to be done in order
        await one.start()
        return one

    cluster = Cluster(network, directory, SERVERS, SENTINELS)
    await stack.enter_async_context(cluster.running())

    portal_at = network.address(PORTAL_HOST)
    portal_url = f"http://{portal_at}:{PORTAL_PORT}"
    options = {"--host": portal_at, "--port": PORTAL_PORT} | plan.world()
    arguments = [str(part) for option in options.items() for part in option]
    await started(process(PORTAL_HOST, "simulator", *arguments, ready="^listening on "))
    portal = await stack.enter_async_context(connect_to_simulator(portal_url, timeout_s=120))
    await portal.misbehave(*plan.faults())

    configuration = directory / "crm-sweep.toml"
    configuration.write_text(plan.configuration(cluster.url, portal_url, network.address(API_HOST)))
    command = ("cli", "--config", str(configuration))
    api = await started(process(API_HOST, *command, "api"))
    workers = {host: await started(process(host, *command, "worker")) for host in plan.worker_hosts}
    session = await stack.enter_async_context(calling(f"http://{network.address(API_HOST)}:{API_PORT}"))
    await _ready(session)

    troubles = Troubles()
    promotions = Promotions(cluster, network, plan.min_replicas)
    return Cast(
        cluster=cluster,
        portal=portal,
        configuration=configuration,
        session=session,
        clients=Clients(session, plan.submissions(), seeded("clients", plan.seed)),
        promotions=promotions,
        troubles=troubles,
        failovers=Failovers(
            chance=seeded("failovers", plan.seed),
            network=network,
            cluster=cluster,
            workers=plan.worker_hosts,
            promotions=promotions,
            troubles=troubles,
        ),
        asides=Asides(
            chance=seeded("asides", plan.seed),
            network=network,
            cluster=cluster,
            workers=workers,
            api=api,
            troubles=troubles,
        ),
        processes=[api, *workers.values()],
    )


async def _ready(session: aiohttp.ClientSession) -> None:
    """Wait until the API answers and reaches Redis."""
    async with asyncio.timeout(_STARTS_WITHIN_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get("/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
