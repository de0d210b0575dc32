"""One POST to a webhook: signed, limited in time, and read no further than the status of the answer."""

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import aiohttp
from standardwebhooks import Webhook as Signer

from config.authorities import read_authorities
from config.settings import Webhook
from jobs.webhooks.events import Event, payload
from worker.retry_after import parse_retry_after

#: How long a try may take, from connecting to the head of the answer.
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a try came to.

    Attributes:
        status: HTTP status; None if there was no answer.
        error: why the event counts as not delivered, in a few words without any part of the address; None if it was.
        took_ms: how long it took.
        retry_after_s: how long the receiver asks to be left alone; None if it does not.
    """

    status: int | None
    error: str | None
    took_ms: int
    retry_after_s: float | None = None


class Poster:
    """Sends events to webhooks, over connections of its own.

    Only the configured address is called: redirects are not followed, proxies of the environment are not used, and
    cookies are not kept.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"crm-sweep/{version('crm-sweep')}", "Content-Type": "application/json"},
            skip_auto_headers=["Accept-Encoding"],
            # Each webhook has a limit of its own; one shared here would let one of them hold up the others.
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def post(self, webhook: Webhook, event: Event) -> Answer:
        """Send an event once. Whatever goes wrong is an answer, not an error."""
        body = payload(event)
        now = datetime.now(UTC)
        headers = {
            "webhook-id": event.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Signer(webhook.key).sign(event.id, now, body.decode()),
        }
        began_s = time.monotonic()
        status: int | None = None
        retry_after_s: float | None = None
        try:
            async with self._session.post(
                webhook.url.get_secret_value(),
                data=body,
                headers=headers,
                allow_redirects=False,
                ssl=_trusting(webhook),
            ) as answer:
                status, error = answer.status, _objection(answer.status)
                retry_after_s = parse_retry_after(
                    answer.headers.get("Retry-After"), now.timestamp(), answer.headers.get("Date")
                )
                answer.close()  # the rest of the answer is not read, however long it is
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as trouble:
            error = _in_words(trouble)
        return Answer(status, error, round((time.monotonic() - began_s) * 1000), retry_after_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def _trusting(webhook: Webhook) -> ssl.SSLContext | bool:
    """Return how the receiver's certificate is checked: against the system's authorities, or those configured."""
    return True if webhook.tls_ca_file is None else _context(webhook.tls_ca_file)


@cache
def _context(file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=read_authorities(file))


def _objection(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "it redirects, which is not followed" if 300 <= status < 400 else f"it answered {status}"


def _in_words(trouble: Exception) -> str:
    """Say what went wrong without the text of the error, which can hold the address."""
    if isinstance(trouble, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(trouble, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(trouble, aiohttp.ClientSSLError | ssl.SSLError):
        return "it does not speak TLS as expected"
    if isinstance(trouble, aiohttp.ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(trouble, aiohttp.ClientConnectorError):
        return "it cannot be reached"
    if isinstance(trouble, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
        return "it closed the connection without an answer"
    return "its answer is not HTTP"
