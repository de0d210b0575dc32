"""One connection, where aiohttp's own behaviour is not enough: input that is not HTTP, and the end of the server."""

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from web.http.middleware import SECURITY_HEADERS, SERVER
from web.http.problems import Kind, Refusal, explain, unforeseen

#: For a request that has had its time; aiohttp takes 0 for eternity.
_NO_MORE_TIME_S = 0.1


class Protocol(web.RequestHandler):
    """Answers with problems where there is no request that a handler could be asked about, and ends patiently."""

    _last_answer: asyncio.Event | None = None  # there once no further request is taken

    def close(self) -> None:
        """Take no further request. One in progress still gets the rest of its body, which aiohttp would drop."""
        if self._request_in_progress:
            self._last_answer = asyncio.Event()
        else:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """End the connection, once a request in progress has been answered or has taken too long."""
        if self._last_answer is not None:
            try:
                async with asyncio.timeout(timeout):
                    await self._last_answer.wait()
            except TimeoutError:
                timeout = _NO_MORE_TIME_S
        await super().shutdown(timeout)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it may repeat what was sent
    ) -> web.StreamResponse:
        """Make the answer to something that is no HTTP request, or whose headers are too large."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer breaks off")
        if isinstance(exc, LineTooLong):
            refusal = Refusal(Kind.HEADERS_TOO_LARGE, "The address or one of the headers is too long.")
        elif status < 500:
            refusal = Refusal(Kind.BAD_REQUEST, "This is not a readable HTTP request.")
        else:
            refusal = unforeseen(exc, "")
        response = refusal.answer()
        response.headers.update(SECURITY_HEADERS, Server=SERVER)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; errors that aiohttp raises before any handler runs become problems here."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400 and (refusal := explain(resp)):
            resp = refusal.answer()
        if self._last_answer is None:
            return await super().finish_response(request, resp, start_time)
        resp.force_close()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._last_answer.set()
