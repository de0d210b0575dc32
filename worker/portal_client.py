"""Talks to one portal: one call, one HTTP request, one value. Knows nothing of jobs, pacing or retries."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from worker.answers import Deleted, Failure, LookedUp


class PortalClient:
    """One portal's API as a worker needs it."""

    def __init__(self, portal: Any, tokens: Any, pace: Callable[[], Awaitable[None]]) -> None:
        self._portal = portal
        self._tokens = tokens
        self._pace = pace

    async def delete(self, contact_ids: Sequence[int]) -> Deleted | Failure:
        """Send one PUT that asks the portal to delete these contacts."""
        raise NotImplementedError

    async def look_up(self, contact_ids: Sequence[int]) -> LookedUp | Failure:
        """Ask which of these contacts the account can see, and what it may do with them."""
        raise NotImplementedError

    def look_up_capacity(self, contact_ids: Sequence[int]) -> int:
        """Say how many of these contact IDs, from the first on, one look-up can ask about; at least 1."""
        raise NotImplementedError

    async def check(self) -> Failure | None:
        """Prove address, credentials and CRM access with a call that changes nothing; None when all is well."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError
