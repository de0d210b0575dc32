"""One webhook: where events are sent, how they are signed, and which of them."""

import base64
import binascii
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from config.fields import NAME_PATTERN, FilePath, Section, file_of_authorities, plain, refuse, secret_or_file

EventType = Literal[
    "job.planned",
    "job.awaiting_approval",
    "job.started",
    "job.paused",
    "job.completed",
    "job.cancelled",
    "job.failed",
    "portal.fault",
]
"""What a webhook can be told."""

#: What comes before the key in a secret of Standard Webhooks.
SECRET_PREFIX = "whsec_"  # noqa: S105 - it is how every secret begins

#: How many bytes a key has, as Standard Webhooks recommends.
_KEY_BYTES = (24, 64)

#: A part of an address that is at least this long may be a secret, and is kept out of the log.
_SECRET_PATH_CHARS = 12


class Webhook(Section):
    """A receiver of events.

    Its address can be a secret, as it is with chat services: only its name and its host are ever shown.
    """

    url: SecretStr
    """Address that events are sent to: `https://`, or `http://` on this machine; only its host is ever shown."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, validate_default=True)] = ""
    """Name of the webhook in commands, metrics, logs and on the page; by default made of its host."""

    secret_file: FilePath | None = None
    """File that holds the secret; read once at startup, trailing line ends ignored."""

    secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Secret that events are signed with: `whsec_` and 24 to 64 bytes in base64."""

    events: Annotated[tuple[EventType, ...], Field(strict=False, min_length=1)] | None = None
    """Events that are sent; all of them if not set."""

    portals: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Portals whose events are sent; all of them if not set."""

    tls_ca_file: FilePath | None = None
    """PEM file of the authorities trusted to issue the receiver's certificate, in place of the system's."""

    @property
    def host(self) -> str:
        """The host of its address, the only part of it that is shown."""
        return urlsplit(self.url.get_secret_value()).hostname or ""

    @property
    def key(self) -> str:
        """The secret in plain text."""
        return plain(self.secret) or ""

    @property
    def secrets(self) -> list[str]:
        """What must not get into a log."""
        url = self.url.get_secret_value()
        path = urlsplit(url)._replace(scheme="", netloc="").geturl().removeprefix("/")
        return [
            self.key,
            self.key.removeprefix(SECRET_PREFIX),
            *([url, path] if len(path) >= _SECRET_PATH_CHARS else []),
        ]

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if any(character.isspace() or not character.isprintable() for character in text):
            refuse("an address without blanks or control characters", given="***")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            refuse("a well-formed address, with a port from 1 to 65535", given="***")
        if not host or port == 0 or parts.scheme not in {"http", "https"}:
            refuse("an address that begins with https:// and has a host", given="***")
        if set("@\\") & set(parts.netloc) or "#" in text:
            refuse("an address without credentials, '\\' and '#'", given="***")
        if parts.scheme == "http" and not _is_this_machine(host):
            refuse("an address that begins with https:// (http:// is for receivers on this machine)", given="***")
        return url

    @field_validator("name", mode="before")
    @classmethod
    def _named_after_its_host(cls, name: object, info: ValidationInfo) -> object:
        url: SecretStr | None = info.data.get("url")
        if name != "":
            return name
        host = urlsplit(url.get_secret_value()).hostname if url else None
        return re.sub(r"[^a-z0-9]+", "-", host or "").strip("-")[:32] or "webhook"

    @field_validator("secret", mode="before")
    @classmethod
    def _read_secret(cls, value: object, info: ValidationInfo) -> object:
        return secret_or_file(value, "secret", info.data)

    @field_validator("secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "secret_file" not in info.data:
            return secret  # the file is wrong and has already been reported
        if secret is None:
            refuse("secret_file or secret, to sign events with", given="nothing", field="secret_file")
        file: Path | None = info.data["secret_file"]
        given, blamed = (str(file), "secret_file") if file else (None, None)
        least, most = _KEY_BYTES
        size = _key_size(secret.get_secret_value())
        if size is None:
            refuse("a secret in base64, with or without `whsec_` before it", given=given, field=blamed)
        if not least <= size <= most:
            refuse(f"a secret of {least} to {most} bytes in base64 (it has {size})", given=given, field=blamed)
        return secret

    @field_validator("tls_ca_file")
    @classmethod
    def _authorities_are_readable(cls, file: Path | None) -> Path | None:
        return None if file is None else file_of_authorities(file)


def _key_size(secret: str) -> int | None:
    """Return how many bytes the key of a secret has; None if it is not in base64."""
    text = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    try:
        return len(base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True))
    except (binascii.Error, ValueError):
        return None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
