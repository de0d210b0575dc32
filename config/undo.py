"""One portal's undo: whether the records of contacts are kept before they are deleted, for whom, where, how long."""

from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pyrage
from pydantic import Field, ValidationInfo, field_validator

from config.fields import Section, Unit, refuse

Recipient: TypeAlias = Any
"""A public key of age, as pyrage reads it; pyrage has no types."""

#: Object stores, by the scheme of their URLs.
_SCHEMES = ("s3", "gs", "az", "abfs", "abfss", "file")


def read_recipient(text: str) -> Recipient:
    """Read a public key: one of age, or an SSH key (`ssh-ed25519 …`, `ssh-rsa …`).

    Raises:
        ValueError: it is none.
    """
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise ValueError("not a public key") from None


class Undo(Section):
    """The undo of a portal; docs/undo.md tells how it works."""

    undo_store: str = ""
    """Where bundles are kept: the absolute path of a directory, or an object store's URL such as `s3://bucket/folder`."""

    undo_recipients: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Public keys (`age1…` or SSH) to which bundles are encrypted; in the environment, a JSON array."""

    undo_days: Annotated[float, Field(ge=0.01, le=3650), Unit("days")] = 30.0
    """How long a bundle is kept after its job has ended."""

    undo: Literal["off", "optional", "required"] = "off"
    """Whether the full record of each contact is kept before it is deleted: never, if a job asks for it, or always."""

    @field_validator("undo_store")
    @classmethod
    def _check_store(cls, store: str) -> str:
        scheme, separator, _ = store.partition("://")
        if not separator:
            return store
        if scheme not in _SCHEMES:
            refuse(f"a directory, or a URL that begins with one of {', '.join(f'{one}://' for one in _SCHEMES)}")
        parts = urlsplit(store)
        if "@" in parts.netloc and not scheme.startswith("abfs"):
            refuse("a URL without credentials; those come from the environment", given="one with credentials")
        if parts.query or parts.fragment:
            refuse("a URL without '?' and '#'; credentials come from the environment", given="one with more")
        return store

    @field_validator("undo_recipients")
    @classmethod
    def _check_recipients(cls, recipients: tuple[str, ...]) -> tuple[str, ...]:
        keys = tuple(key.strip() for key in recipients)
        for key in keys:
            if key.upper().startswith("AGE-SECRET-KEY"):
                refuse("public keys; a private key must not be in the configuration", given="a private key")
            try:
                read_recipient(key)
            except ValueError:
                refuse("public keys of age (age1…) or SSH (ssh-ed25519 …, ssh-rsa …)")
        return keys

    @field_validator("undo")
    @classmethod
    def _store_and_recipients_are_there(cls, undo: str, info: ValidationInfo) -> str:
        if undo != "off":
            for name in ("undo_store", "undo_recipients"):
                if name in info.data and not info.data[name]:
                    refuse(f"{name} to go with undo = {undo!r}", given="nothing", field=name)
        return undo

    def read_recipients(self) -> list[Recipient]:
        """Return the public keys as the encryption takes them."""
        return [read_recipient(key) for key in self.undo_recipients]
