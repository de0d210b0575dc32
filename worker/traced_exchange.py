"""The calls to a portal as spans.

A span tells the method, the portal's name and the status. Unlike what OpenTelemetry's conventions want, it has neither
the address nor the URL: the one is nobody's business, the other holds contact IDs and words of a filter.
"""

from collections.abc import Mapping
from functools import partial

from config.portal import Portal
from config.tracing import SpanKind, fail, is_on, is_recorded, span
from worker.exchange import Exchange, MaySend, RawAnswer, always
from worker.portal_answers import Failure


def exchange_for(portal: Portal) -> Exchange:
    """Return the HTTP session with a portal, which makes spans only if tracing is on."""
    return TracedExchange(portal) if is_on() else Exchange(portal)


class TracedExchange(Exchange):
    """An exchange whose calls are spans within the span that is going on; without one, they are none."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(portal)
        self._portal = portal.name

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        deleting: bool = False,
        timeout_s: float | None = None,
        may_send: MaySend = always,
    ) -> RawAnswer | Failure:
        """Send one request and read the whole answer; see `Exchange.send`."""
        send = partial(super().send, body=body, deleting=deleting, timeout_s=timeout_s, may_send=may_send)
        if not is_recorded():
            return await send(method, target, headers)
        about = {"http.request.method": method, "crm_sweep.portal": self._portal}
        with span(method, kind=SpanKind.CLIENT, attributes=about) as current:
            answer = await send(method, target, headers)
            status = answer.http_status if isinstance(answer, Failure) else answer.status
            if status is not None:
                current.set_attribute("http.response.status_code", status)
            if isinstance(answer, Failure):
                fail(current, answer.reason)
            elif answer.status >= 400:
                fail(current, str(answer.status))
            return answer
