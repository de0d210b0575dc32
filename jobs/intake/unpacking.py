"""From the bytes as they arrive to plain UTF-8 text: gzip, byte order marks and UTF-16 are handled here."""

import codecs
import zlib
from collections.abc import Iterable, Iterator

#: Decompressed bytes produced at a time: what a gzip bomb can cost in memory.
_PIECE_BYTES = 1 << 20
#: Compressed bytes taken at a time: bounds the copying when a file consists of many small gzip members.
_PACKED_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class PackingError(Exception):
    """The input is damaged, incomplete, too large or in an unsupported encoding; the message is for the user."""


class TooMuchText(PackingError):
    """The uncompressed text is larger than allowed."""


class PlainText:
    """A push filter: raw bytes in, plain UTF-8 bytes out, in pieces of bounded size.

    Bytes that are not UTF-8 pass through unchanged (a name column can be in any encoding); only what must be decoded
    can fail. Every method raises PackingError if the input is damaged or truncated.

    Args:
        most_bytes: how much may come out; a small compressed file can expand enormously. None for no limit.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._start: bytes | None = b""  # the first bytes, until there are enough to recognise gzip
        self._unpack: _Gunzip | None = None
        self._decode = _Decode()
        self._check = _Utf8Check()
        self._most_bytes = most_bytes
        self._length = 0

    @property
    def gzip(self) -> bool:
        """Whether the input is compressed, as far as it has been read."""
        return self._unpack is not None

    @property
    def encoding(self) -> str:
        """The encoding of the input: `utf-8`, `utf-16`, or `unknown` if it is neither."""
        if self._decode.from_utf16:
            return "utf-16"
        return "utf-8" if self._check.passed else "unknown"

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the plain text of the next raw bytes."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_GZIP_MAGIC):
                self._start = chunk
                return
            self._start = None
            if chunk.startswith(_GZIP_MAGIC):
                self._unpack = _Gunzip()
        if self._unpack is None:
            yield from self._measured(self._decode.feed(chunk))
            return
        for start in range(0, len(chunk), _PACKED_BYTES):
            for piece in self._unpack.feed(chunk[start : start + _PACKED_BYTES]):
                yield from self._measured(self._decode.feed(piece))

    def close(self) -> Iterator[bytes]:
        """Yield what was held back; call once, at the end of the input."""
        if self._start is not None:
            yield from self._measured(self._decode.feed(self._start))
        if self._unpack is not None:
            self._unpack.close()
        yield from self._measured(self._decode.close())

    def _measured(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._length += len(piece)
            if self._most_bytes is not None and self._length > self._most_bytes:
                raise TooMuchText(f"uncompressed, the list is larger than {self._most_bytes / 1e6:g} MB")
            self._check.feed(piece)
            yield piece


class _Gunzip:
    """Decompresses consecutive gzip members, and verifies their checksums; zero bytes can pad the gaps between them."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def feed(self, packed: bytes) -> Iterator[bytes]:
        piece = b""
        # A full piece may have left output inside zlib even when the input is used up.
        while packed or len(piece) == _PIECE_BYTES:
            if self._member is None:
                packed = packed.lstrip(b"\0")
                if not packed:
                    return
                self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            try:
                piece = self._member.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                raise PackingError("the gzip data is damaged") from None
            yield piece
            packed = self._member.unconsumed_tail
            if self._member.eof:
                packed, piece, self._member = self._member.unused_data, b"", None

    def close(self) -> None:
        if self._member is not None:
            raise PackingError("the gzip data is cut off before its end")


class _Decode:
    """Drops a UTF-8 byte order mark; turns UTF-16, which must have one, into UTF-8."""

    def __init__(self) -> None:
        self._start: bytes | None = b""
        self._utf16: codecs.IncrementalDecoder | None = None

    @property
    def from_utf16(self) -> bool:
        return self._utf16 is not None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if self._start is not None:
            self._start += piece
            if len(self._start) < len(codecs.BOM_UTF32_LE):
                return
            piece = self._begin()
        yield self._text(piece, final=False)

    def close(self) -> Iterator[bytes]:
        yield self._text(b"" if self._start is None else self._begin(), final=True)

    def _begin(self) -> bytes:
        start, self._start = self._start or b"", None
        if start.startswith(_GZIP_MAGIC):
            raise PackingError("the input is compressed twice; decompress it once")
        if start.startswith(_UTF32_MARKS):  # before UTF-16, whose mark is the first half of one of these
            raise PackingError("the input is UTF-32 text; save it as UTF-8")
        if start.startswith(_UTF16_MARKS):
            self._utf16 = codecs.getincrementaldecoder("utf-16")()
        return start.removeprefix(codecs.BOM_UTF8)

    def _text(self, piece: bytes, *, final: bool) -> bytes:
        if self._utf16 is None:
            return piece
        try:
            return self._utf16.decode(piece, final).encode()
        except UnicodeError:
            raise PackingError("the input begins like UTF-16 text but is not valid UTF-16") from None


class _Utf8Check:
    """Check whether all of a text is UTF-8, and gives up at the first byte that is not."""

    def __init__(self) -> None:
        self.passed = True
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, piece: bytes) -> None:
        if not self.passed or (piece.isascii() and self._decoder.getstate()[0] == b""):
            return
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            self.passed = False
