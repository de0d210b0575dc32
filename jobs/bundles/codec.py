"""Objects of a bundle: lines of JSON, compressed with zstd, encrypted with age.

Compressed line by line, so that memory holds a tenth of the text. What encrypts has public keys alone: a process that
has sealed an object cannot open it again, and neither can anybody who reads its memory later.

Without this program: `age --decrypt -i KEYFILE OBJECT | zstd --decompress`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyrage
import zstandard

from config.undo import Recipient
from jobs.bundles.errors import BadIdentity, BundleDamaged

#: The level of zstd: higher ones save a tenth, and take several times as long.
_LEVEL = 3
#: Decompressed bytes taken at a time.
_STEP = 256 * 1024
#: More than a portal's longest answer, so that no line that was ever written is longer.
_LONGEST_LINE = 65 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted object.

    Attributes:
        data: its content.
        sha256: of that, in hexadecimal.
        contacts: records in it.
        plain_bytes: their size as lines.
    """

    data: bytes
    sha256: str
    contacts: int
    plain_bytes: int


class Packer:
    """Collects the lines of one object."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        self._pieces: list[bytes] = []
        self._closed = False
        self.contacts = 0
        self.plain_bytes = 0

    def add(self, line: bytes) -> None:
        """Add the record of one contact, with its line feed."""
        piece = self._compressor.compress(line)
        if piece:
            self._pieces.append(piece)
        self.contacts += 1
        self.plain_bytes += len(line)

    def close(self) -> None:
        """End the compression; nothing can be added any more. Closing twice changes nothing."""
        if not self._closed:
            self._pieces.append(self._compressor.flush())
            self._closed = True

    def seal(self, recipients: Sequence[Recipient]) -> Sealed:
        """Encrypt the closed object, each time with keys of its own.

        Args:
            recipients: the public keys whose owners can open it, at least one.
        """
        data = pyrage.encrypt(b"".join(self._pieces), list(recipients))
        return Sealed(data, hashlib.sha256(data).hexdigest(), self.contacts, self.plain_bytes)


def lines_of(data: bytes, identities: Sequence[object]) -> Iterator[bytes]:
    """Return the lines of an object, one after the other, without their line feeds.

    Args:
        data: its content.
        identities: private keys, from `read_identities`.

    Raises:
        BadIdentity: it is encrypted to none of these keys.
        BundleDamaged: it was changed, or is no such object.
    """
    try:
        packed = pyrage.decrypt(data, list(identities))
    except pyrage.DecryptError as error:
        if "No matching keys found" in str(error):
            raise BadIdentity("the bundle is not encrypted to this key") from None
        raise BundleDamaged("an object cannot be decrypted: it was changed, or cut off") from None
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    try:
        for at in range(0, len(packed), _STEP):
            *lines, rest = (rest + decompressor.decompress(packed[at : at + _STEP])).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                raise BundleDamaged("an object holds a line that is too long")
    except zstandard.ZstdError:
        raise BundleDamaged("an object cannot be decompressed") from None
    if rest or not decompressor.eof:
        raise BundleDamaged("an object is cut off")


def read_identities(text: str) -> list[object]:
    """Read private keys: a file of `age-keygen`, or an SSH key without a passphrase.

    Args:
        text: the file's content.

    Raises:
        BadIdentity: it holds none, or one that cannot be used.
    """
    if "-----BEGIN" in text:
        try:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        except pyrage.IdentityError:
            raise BadIdentity("the SSH key cannot be used; it must not have a passphrase") from None
    lines = [line.strip() for line in text.splitlines()]
    try:
        keys: list[object] = [
            pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")
        ]
    except pyrage.IdentityError:
        raise BadIdentity(
            "expected a file of lines that begin with AGE-SECRET-KEY-1, as age-keygen writes it"
        ) from None
    if not keys:
        raise BadIdentity("the file holds no private key")
    return keys
