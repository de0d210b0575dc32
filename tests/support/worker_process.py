"""Workers as processes of their own, as operators start them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import simulator
from config.redis_url import RedisUrl

BIN = Path(sys.executable).parent
COMMANDS = {
    "arq": [str(BIN / "arq"), "worker.main.WorkerSettings"],
    "crm-sweep": [str(BIN / "crm-sweep"), "worker"],
}


class HasUrl(Protocol):
    """A Redis, or several: whatever has an address."""

    @property
    def url(self) -> RedisUrl: ...


def environment(server: HasUrl, portal: simulator.Portal) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRM_SWEEP_")}
    return clean | {
        "CRM_SWEEP_REDIS__URL": server.url.get_secret_value(),
        "CRM_SWEEP_PORTALS__MAIN__URL": portal.url,
        "CRM_SWEEP_PORTALS__MAIN__TOKEN": portal.behaviour.token,
        "CRM_SWEEP_PORTALS__MAIN__REQUESTS_PER_SECOND": "200",
        "CRM_SWEEP_PORTALS__MAIN__BURST": "10",
        "CRM_SWEEP_PORTALS__MAIN__MAX_CONCURRENCY": "2",
        "CRM_SWEEP_WORKER__LEASE_TTL_S": "2",
        "CRM_SWEEP_WORKER__LIFELINE_S": "1",
        "CRM_SWEEP_WORKER__POLL_DELAY_S": "0.02",
    }


@asynccontextmanager
async def process(
    command: str,
    server: HasUrl,
    portal: simulator.Portal,
    folder: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker process with further variables, if need be; it is killed at the end if it is still running."""
    with (folder / f"{command}.log").open("ab") as log:
        started = await asyncio.create_subprocess_exec(
            *COMMANDS[command],
            env={**environment(server, portal), **variables},
            cwd=Path(__file__).parents[2],
            stdout=log,
            stderr=log,
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
