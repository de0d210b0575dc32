"""The simulated portal as a process of its own, and the truth that it keeps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from pyroaring import BitMap

from bench.ours import TOKEN
from bench.process import module

_TIMEOUT = aiohttp.ClientTimeout(total=60)


class SimulatedPortal:
    """Its address, its truth and its switches."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def reset(self, **world: Any) -> None:
        """Begin a new world; see `simulator.truth_routes.NewWorld`."""
        await self._post("reset", world)

    async def behave(self, **switches: Any) -> None:
        """Change switches; see `simulator.behaviour.Behaviour`."""
        await self._post("behaviour", switches)

    async def summary(self) -> dict[str, Any]:
        """Counts of everything."""
        return await self._get_json("summary")  # type: ignore[no-any-return]  # an object, by the route's definition

    async def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call after a number, without its IDs. `monotonic_s` is on the clock that all processes share."""
        return await self._get_json(f"requests?since={since}")  # type: ignore[no-any-return]  # a list, as above

    async def contacts(self, name: str) -> BitMap:
        """One of the sets of contact IDs: `deleted`, `alive`, …"""
        async with self._session.get(f"/truth/contacts/{name}?format=roaring") as response:
            response.raise_for_status()
            return BitMap.deserialize(await response.read())

    async def wait(self, timeout_s: float = 30.0, **wanted: int) -> None:
        """Wait until so many deletions have `arrived`, were `answered` or `committed`, or contacts `deleted`.

        Raises:
            TimeoutError: It did not happen in time.
        """
        query = "&".join(f"{name}={count}" for name, count in wanted.items())
        async with self._session.get(f"/truth/wait?kind=delete&timeout_s={timeout_s}&{query}") as response:
            if response.status == 408:
                raise TimeoutError(f"the portal did not see {wanted} within {timeout_s:.0f} s")
            response.raise_for_status()

    async def _get_json(self, path: str) -> Any:
        async with self._session.get(f"/truth/{path}") as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read())

    async def _post(self, path: str, value: dict[str, Any]) -> None:
        async with self._session.post(f"/truth/{path}", data=msgspec.json.encode(value)) as response:
            if response.status != 200:
                raise RuntimeError(f"the simulated portal refused {path}: {await response.text()}")


@asynccontextmanager
async def simulated_portal() -> AsyncIterator[SimulatedPortal]:
    """Run one without contacts; `reset` gives it some."""
    async with module("simulator", "--contacts", "0", "--token", TOKEN, ready=None) as process:
        url = (await process.expect("^listening on ")).removeprefix("listening on ")
        async with aiohttp.ClientSession(url, timeout=_TIMEOUT) as session:
            yield SimulatedPortal(url, session)
