"""The simulated portal's truth and switches, over HTTP."""

from typing import Any

import aiohttp
import msgspec
from pyroaring import BitMap


class TruthClient:
    """Asks what really happened, and says what is to happen.

    Args:
        session: with the portal's address as its base.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def contacts(self, name: str) -> BitMap:
        """One of the sets of contact IDs, by name: `deleted`, `alive`, `confirmed`."""
        async with self._session.get(f"/truth/contacts/{name}?format=roaring") as answer:
            answer.raise_for_status()
            return BitMap.deserialize(await answer.read())

    async def read(self, path: str) -> Any:
        """Any other part of the truth."""
        async with self._session.get(f"/truth/{path}") as answer:
            answer.raise_for_status()
            return msgspec.json.decode(await answer.read())

    async def write(self, path: str, value: Any) -> None:
        """Change faults or behaviour.

        Raises:
            RuntimeError: the simulator does not understand it.
        """
        async with self._session.post(f"/truth/{path}", data=msgspec.json.encode(value)) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the simulator refused {path}: {await answer.text()}")

    async def clear_faults(self) -> list[dict[str, Any]]:
        """Drop every fault rule; gives them with how often each has struck."""
        rules: list[dict[str, Any]] = await self.read("faults")
        async with self._session.delete("/truth/faults") as answer:
            answer.raise_for_status()
        return rules
