"""The manifest of a bundle: what it consists of, in plain JSON, without anything about a contact."""

from typing import Literal

import msgspec

from jobs.bundles.errors import BundleDamaged


class KeptObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a bundle: the records of contacts of one segment, in ascending order of contact ID."""

    name: str
    """Its name in the store."""
    segment: int
    """The segment of the job's list, counted from 0."""
    part: int
    """Its place among all objects of the bundle, counted from 0: later parts have larger contact IDs."""
    contacts: int
    """How many records it holds."""
    stored_bytes: int = msgspec.field(name="bytes")
    """Its size in the store."""
    plain_bytes: int
    """Its size decrypted and decompressed."""
    sha256: str
    """Of its content in the store, in hexadecimal."""

    def json(self) -> bytes:
        """Return it as Redis keeps it while the bundle is being made."""
        return msgspec.json.encode(self)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All of a bundle; written when it is complete, before the first contact of its job is sent."""

    format: Literal[1] = 1
    """The version of objects and manifest."""
    job: str
    bundle: str
    portal: str
    """The portal's name in the configuration."""
    address: str
    """Fingerprint of the portal's address."""
    made_at: str
    """When the bundle was begun: records are not older."""
    keep_days: float
    """How long it is kept after its job has ended."""
    total: int
    """Contact IDs of the job, with those that have no record."""
    contacts: int
    """Records in all objects."""
    stored_bytes: int = msgspec.field(name="bytes")
    """Size of all objects in the store."""
    objects: tuple[KeptObject, ...]

    def json(self) -> bytes:
        """Return it as it is written."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


_manifest = msgspec.json.Decoder(Manifest).decode
_kept_object = msgspec.json.Decoder(KeptObject).decode


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BundleDamaged: it is none, or of a later version.
    """
    try:
        return _manifest(data)
    except msgspec.MsgspecError as error:
        raise BundleDamaged(f"not a manifest that this version can read: {error}") from None


def read_object_entry(data: bytes) -> KeptObject:
    """Read what `KeptObject.json` wrote."""
    return _kept_object(data)
