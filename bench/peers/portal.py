"""The call that the asyncio peers share: one batch, the plain way."""

import aiohttp


def open_session(portal_url: str, concurrency: int) -> aiohttp.ClientSession:
    """Open a session that holds as many connections as there are calls in flight."""
    return aiohttp.ClientSession(portal_url, connector=aiohttp.TCPConnector(limit=concurrency))


async def delete(session: aiohttp.ClientSession, contact_ids: list[int]) -> list[int]:
    """Delete one batch and return the IDs that the portal says are deleted.

    Raises:
        aiohttp.ClientResponseError: The portal answered with an error.
        RuntimeError: Its answer does not list what was asked for.
    """
    async with session.put(
        "/api/2.0/crm/contact", params={"fields": "id"}, json={"contactids": contact_ids}
    ) as response:
        response.raise_for_status()
        envelope = await response.json()
    deleted = [contact["id"] for contact in envelope["response"]]
    if set(deleted) != set(contact_ids):
        raise RuntimeError("the portal did not delete exactly what it was asked to")
    return deleted
