"""One request on the wire and what came back. Decides nothing about the API's meaning."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import aiohttp
from yarl import URL

from worker.answers import Failure
from worker.failure_table import Fault
from worker.failures import CAUGHT, decide_exception, decide_fault

#: A thousand contacts with every field are about 610 kB.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Connecting takes a network's round trips, not a portal's work.
MAX_CONNECT_S = 10.0
#: nginx closes an idle connection after 65 s; giving it up well before avoids sending into a closing one.
KEEPALIVE_S = 30.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A whole answer of whatever status."""

    status: int
    body: bytes
    retry_after: str | None
    elapsed_s: float


class Exchange:
    """The HTTP session with one portal.

    It keeps no cookies (the portal sets one that would let a call run as another user), follows no redirects, uses no
    proxy or `.netrc` of the environment, and never sends anything twice.

    Args:
        base_url: the portal's address, without a slash at its end.
        timeout_s: for a whole call, from connecting to the last byte.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._timeout = _timeout(timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        deleting: bool = False,
        timeout_s: float | None = None,
    ) -> RawAnswer | Failure:
        """Send one request and read its answer whole.

        Args:
            method: HTTP method.
            target: path and query below the base address, already in the form for the wire.
            headers: of this request, beside those of the session.
            body: of the request.
            deleting: whether the portal may delete something when it receives this.
            timeout_s: for this call, when it must be shorter than usual.
        """
        session = self._session or self._open()
        started = asyncio.get_running_loop().time()
        status: int | None = None
        try:
            async with session.request(
                method,
                URL(self._base_url + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=self._timeout if timeout_s is None else _timeout(min(timeout_s, self._timeout_s)),
            ) as response:
                status = response.status
                answer = await _read_bounded(response)
        except CAUGHT as error:
            return decide_exception(error, status=status, elapsed_s=_since(started), deleting=deleting)
        if answer is None:
            return decide_fault(Fault.TOO_LARGE, status=status, elapsed_s=_since(started), deleting=deleting)
        return RawAnswer(status, answer, response.headers.get("Retry-After"), _since(started))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            # The lanes' leases are the limit of concurrency; a second one here would only make calls time out waiting.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={
                "User-Agent": f"crm-sweep/{version('crm-sweep')}",
                # Answers are small; packing them would only cost the portal work.
                "Accept-Encoding": "identity",
            },
        )
        # aiohttp counts PUT as idempotent and sends it once more after a reset. To us a second PUT is a second attempt,
        # which the ledger must know of. There is no public switch; a test holds that one call is one request.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return session


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the body, unpacked; None when it is larger than `MAX_ANSWER_BYTES`."""
    blocks: list[bytes] = []
    size = 0
    while block := await response.content.readany():
        size += len(block)
        if size > MAX_ANSWER_BYTES:
            response.close()
            return None
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=min(MAX_CONNECT_S, total_s / 2))


def _since(started: float) -> float:
    return asyncio.get_running_loop().time() - started
