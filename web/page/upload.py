"""The form with a list of contact IDs, read as it arrives: a list of any size in the same memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import BodyPartReader, ClientError, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from jobs.intake.parser import IntakeParser
from jobs.intake.tally import Intake, IntakeError
from web.http.body import Patience, TooSlow
from web.http.context import LIMITS, SETTINGS
from web.http.problems import Kind, Refusal
from web.page.admission import check_form

#: Bytes read at a time, and handed to the parser, which runs in a thread.
_CHUNK = 256 << 10
#: Longest value of a field that is not a list.
_FIELD_BYTES = 4096
_MB = 1_000_000
#: Most parts of a form; ours has ten.
_PARTS = 32
#: Fields of the form beside the list.
FIELDS = ("csrf", "portal", "priority", "label", "column", "skip_invalid", "multiline", "plan")

T = TypeVar("T")


@dataclass(slots=True)
class Upload:
    """What the form held.

    Attributes:
        fields: everything but the list; what was not sent is empty.
        intake: the list; None where it could not be used.
        error: what is wrong with the list.
    """

    fields: dict[str, str] = field(default_factory=lambda: dict.fromkeys(FIELDS, ""))
    intake: Intake | None = None
    error: IntakeError | None = None


async def read_upload(request: web.Request) -> Upload:
    """Read the form.

    Raises:
        Refusal: it is not the form of this visitor, is too large or too slow, or breaks off.
    """
    most_mb = request.app[SETTINGS].api.max_body_mb
    if request.content_type != "multipart/form-data":
        raise Refusal(Kind.WRONG_MEDIA_TYPE, "Send the form as browsers do.")
    if (request.content_length or 0) > most_mb * _MB:
        raise _too_large(most_mb)
    reader = _Reader(request, most_mb)
    try:
        await reader.read()
    except TooSlow:
        raise Refusal(Kind.SLOW_BODY, "The form did not arrive in time. Nothing was queued.") from None
    except (ClientError, HttpProcessingError, ValueError, AssertionError, OSError):
        # aiohttp raises any of these when the parts are malformed or break off.
        raise Refusal(Kind.BAD_BODY, "The form is incomplete or damaged. Nothing was queued.") from None
    return reader.upload


class _Reader:
    """Takes the parts of the form one after the other.

    Args:
        request: with the form as its body.
        most_mb: the largest body.
    """

    def __init__(self, request: web.Request, most_mb: int) -> None:
        self.upload = Upload()
        self._request = request
        self._most_mb = most_mb
        self._patience = Patience(request.app[LIMITS])
        self._parser: IntakeParser | None = None
        #: The field that holds the list.
        self._source = ""

    async def read(self) -> None:
        """Read to the end of the form."""
        reader = await self._request.multipart()
        for _ in range(_PARTS):
            part = await self._next(reader)
            if part is None:
                break
            if part.name in self.upload.fields:
                self.upload.fields[part.name] = await self._text(part)
            elif part.name in {"file", "pasted"}:
                self._check_form()  # before a byte of a list is read
                await self._take_list(part, part.name)
            else:
                async for _ in self._chunks(part):
                    pass
        else:
            raise Refusal(Kind.BAD_BODY, "The form has too many parts.")
        self._check_form()
        await self._close()

    def _check_form(self) -> None:
        check_form(self._request, self.upload.fields["csrf"])

    async def _next(self, reader: MultipartReader) -> BodyPartReader | None:
        part = await self._wait_for(reader.next())
        if part is not None and not isinstance(part, BodyPartReader):
            raise Refusal(Kind.BAD_BODY, "The form has parts within parts.")
        return part

    async def _take_list(self, part: BodyPartReader, name: str) -> None:
        async for chunk in self._chunks(part):
            if self._source != name:
                if not chunk.strip():
                    continue
                if self._source:
                    raise Refusal(Kind.INVALID, "There is a file and a pasted list: send one of them.")
                self._source = name
                self._parser = self._new_parser()
            if self._parser is not None and self.upload.error is None:
                try:
                    await asyncio.to_thread(self._parser.feed, chunk)
                except IntakeError as error:  # read the rest only so that the browser sees the answer
                    self.upload.error = error

    def _new_parser(self) -> IntakeParser:
        fields = self.upload.fields
        return IntakeParser(
            column=fields["column"] or None,
            skip_invalid=fields["skip_invalid"] == "yes",
            multiline=fields["multiline"] == "yes",
            most_bytes=self._most_mb * _MB,
        )

    async def _close(self) -> None:
        if self._parser is None:
            self.upload.error = IntakeError("Choose a file, or paste a list")
        elif self.upload.error is None:
            try:
                self.upload.intake = await asyncio.to_thread(self._parser.close)
            except IntakeError as error:
                self.upload.error = error

    async def _chunks(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while True:
            chunk = await self._wait_for(part.read_chunk(_CHUNK))
            if not chunk:
                return
            yield bytes(chunk)

    async def _wait_for(self, more: Awaitable[T]) -> T:
        """Wait for more of the form, whatever of it; what is around its parts counts as well."""
        came = await self._patience.wait_for(more, self._request.content.total_bytes)
        if self._request.content.total_bytes > self._most_mb * _MB:
            raise _too_large(self._most_mb)
        return came

    async def _text(self, part: BodyPartReader) -> str:
        data = bytearray()
        async for chunk in self._chunks(part):
            data += chunk
            if len(data) > _FIELD_BYTES:
                raise Refusal(Kind.INVALID, f"The field {part.name} is too long.")
        return data.decode("utf-8", "replace").strip()


def _too_large(max_body_mb: int) -> Refusal:
    return Refusal(Kind.TOO_LARGE, f"The list is larger than {max_body_mb} MB. Nothing was queued.")
