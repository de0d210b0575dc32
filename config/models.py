"""The tables of the configuration as models: every setting with its type, range, default and unit."""

import hashlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, SerializerFunctionWrapHandler, ValidationInfo, field_serializer, field_validator

from config.client_certificate import BadCertificate, load_client_certificate
from config.errors import UnknownPortal, UnknownWebhook
from config.fields import NAME_PATTERN, FilePath, Section, Unit, file_of_authorities, plain, refuse, secret_or_file
from config.portal import Portal
from config.receipts import Receipts
from config.redis_url import RedisUrl, parse_redis_url
from config.schedules import Schedule
from config.tracing_config import TracingConfig
from config.webhooks import Webhook

#: SHA-256 of an empty text.
_OF_NOTHING = hashlib.sha256().hexdigest()

T = TypeVar("T")


class RedisConfig(Section):
    """Where the ledger is kept."""

    password_file: FilePath | None = None
    """File that holds the password of Redis; read once at startup, trailing line ends ignored."""

    password: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Password of Redis, if it is not part of `url`."""

    url: Annotated[RedisUrl, Field(validate_default=True)] = RedisUrl("redis://127.0.0.1:6379/0")
    """Address of Redis: `redis://`, `rediss://` (TLS), `unix://` (socket), or `redis+sentinel://` or
    `rediss+sentinel://` for a primary that Sentinels know (docs/high-availability.md)."""

    sentinel_username: str | None = None
    """User name of the Sentinels, if it is not the default one; that of the servers is in `url`."""

    sentinel_password_file: FilePath | None = None
    """File that holds the password of the Sentinels; read once at startup, trailing line ends ignored."""

    sentinel_password: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Password of the Sentinels, if they want one; that of the servers is `password`."""

    tls_ca_file: FilePath | None = None
    """PEM file of the authorities trusted to issue the server's certificate, in place of the system's."""

    tls_cert_file: FilePath | None = None
    """PEM file of the certificate that is shown to servers and Sentinels that want to see one."""

    tls_key_file: Annotated[FilePath | None, Field(validate_default=True)] = None
    """PEM file of the private key of `tls_cert_file`, without a pass phrase."""

    min_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    """Replicas that must have a claim before its PUT is sent, and a submission, an approval or a control action before
    it is answered; 0 for a single server. Set it to the number of all replicas, with those that are never promoted."""

    replica_timeout_s: Annotated[float, Field(ge=0.01, le=3), Unit("s")] = 1.0
    """How long to wait for them. A PUT whose claim they lack by then is not sent."""

    @property
    def redacted(self) -> str:
        """The address without its password, for messages."""
        return self.url.redacted

    @field_validator("password", "sentinel_password", mode="before")
    @classmethod
    def _read_password(cls, value: object, info: ValidationInfo) -> object:
        return secret_or_file(value, info.field_name or "", info.data)

    @field_validator("password", "sentinel_password")
    @classmethod
    def _password_is_not_empty(cls, password: SecretStr | None) -> SecretStr | None:
        if plain(password) == "":
            refuse("a password that is not empty", given="an empty string")
        return password

    @field_validator("sentinel_username", "sentinel_password")
    @classmethod
    def _sentinels_are_named(cls, value: T, info: ValidationInfo) -> T:
        if value is None or "url" not in info.data:  # if the url is wrong, it has already been reported
            return value
        if not info.data["url"].address.sentinels:
            file = f"{info.field_name}_file"
            field, given = (file, str(info.data[file])) if info.data.get(file) else (info.field_name, None)
            expected = f"{field} only with a url that begins with redis+sentinel:// or rediss+sentinel://"
            refuse(expected, given=given, field=field)
        return value

    @field_validator("sentinel_password")
    @classmethod
    def _sentinel_login_is_complete(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password is None and info.data.get("sentinel_username") and "sentinel_password_file" in info.data:
            refuse("sentinel_password or sentinel_password_file to go with sentinel_username", given="nothing")
        return password

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: RedisUrl, info: ValidationInfo) -> RedisUrl:
        """Check the address and insert the separate password, so that `url` is all that a client needs."""
        try:
            address = parse_redis_url(url.get_secret_value())
        except ValueError as error:
            refuse(str(error))
        password = plain(info.data.get("password"))
        if password is None:
            return url
        if address.password is not None and address.password != password:
            refuse("one password: in the url, or in password or password_file")
        return url.with_password(password)

    @field_validator("tls_ca_file")
    @classmethod
    def _authorities_are_readable(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is None:
            return None
        _with_tls(file, info)
        return file_of_authorities(file)

    @field_validator("tls_cert_file")
    @classmethod
    def _certificate_is_for_tls(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None:
            _with_tls(file, info)
        return file

    @field_validator("tls_key_file")
    @classmethod
    def _certificate_has_its_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_cert_file" not in info.data:  # it has already been reported
            return key
        certificate: Path | None = info.data["tls_cert_file"]
        if (certificate is None) != (key is None):
            refuse("tls_cert_file and tls_key_file together, or neither", given="only one of them")
        if certificate is not None and key is not None:
            try:
                load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
            except BadCertificate as error:
                field = "tls_cert_file" if error.file == certificate != key else None
                refuse(str(error), given=str(error.file), field=field)
        return key


def _with_tls(file: Path, info: ValidationInfo) -> None:
    """Refuse a file that serves TLS if the address does not ask for it."""
    if "url" in info.data and not info.data["url"].address.tls:
        refuse(f"{info.field_name} only with a url that begins with rediss:// or rediss+sentinel://", given=str(file))


class ApiKey(Section):
    """One caller of the HTTP API."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the caller, for logs."""

    key_sha256: str
    """SHA-256 of the key in hexadecimal; the key itself is never stored."""

    scopes: Annotated[tuple[Literal["read", "submit", "control"], ...], Field(strict=False, min_length=1)]
    """What the caller may do."""

    portals: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Portals that the caller may see and use; all of them if not set."""

    max_contacts: Annotated[int | None, Field(ge=1), Unit("contacts")] = None
    """Largest job that the caller may submit; any size if not set."""

    @field_validator("key_sha256")
    @classmethod
    def _is_a_digest(cls, digest: str) -> str:
        if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
            refuse("64 hexadecimal digits, the SHA-256 of the key")
        if digest.lower() == _OF_NOTHING:  # made from a variable that was not set: a key that anyone can guess
            refuse("the SHA-256 of a key", given="that of an empty string")
        return digest.lower()


class Api(Section):
    """The HTTP API and its page."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; anything but loopback needs `api.keys`."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes any free one."""

    max_body_mb: Annotated[int, Field(ge=1, le=65536), Unit("MB")] = 512
    """Largest streamed list of contact IDs."""

    keys: Annotated[tuple[ApiKey, ...], Field(strict=False)] = ()
    """Keys of the callers; in the environment, a JSON array of objects."""

    @field_validator("keys")
    @classmethod
    def _names_are_unique(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        names = [key.name for key in keys]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            refuse("a different name for every key", given=f"{twice[0]!r} more than once")
        return keys


class WorkerConfig(Section):
    """How a worker process behaves."""

    poll_delay_s: Annotated[float, Field(ge=0.005, le=5), Unit("s")] = 0.5
    """Pause between an idle worker's checks of the queue if nothing nudges it."""

    lease_ttl_s: Annotated[float, Field(ge=2, le=60), Unit("s")] = 3.0
    """How long a portal stays taken after its worker has died."""

    slice_s: Annotated[float, Field(ge=1, le=300), Unit("s")] = 20.0
    """How long a lane drives its portal before it makes way for another."""

    shutdown_grace_s: Annotated[float, Field(ge=0, le=600), Unit("s")] = 30.0
    """How long a worker waits for the batches in flight when told to stop."""

    max_lanes: Annotated[int, Field(ge=1, le=1000), Unit("lanes")] = 64
    """Most lanes in one worker process."""

    lifeline_s: Annotated[int, Field(ge=1, le=30), Unit("s")] = 2
    """Interval between checks for portals with work that no worker is driving, and for schedules that are due."""


class LogConfig(Section):
    """How log lines look and which are written."""

    format: Literal["auto", "json", "console"] = "auto"
    """One JSON object per line, or readable text; `auto` is text on a terminal, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""


class Settings(Section):
    """Every setting, checked. Built once by `load_settings` and passed on; immutable."""

    redis: RedisConfig = RedisConfig()
    portals: Annotated[
        Mapping[str, Portal], Field(strict=False, default_factory=lambda: MappingProxyType[str, Portal]({}))
    ]
    api: Api = Api()
    worker: WorkerConfig = WorkerConfig()
    receipts: Receipts = Receipts()
    log: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()

    schedules: Annotated[tuple[Schedule, ...], Field(strict=False)] = ()
    """Campaigns that start by themselves; in the environment, a JSON array of objects."""

    webhooks: Annotated[tuple[Webhook, ...], Field(strict=False, max_length=20)] = ()
    """Receivers of events; in the environment, a JSON array of objects."""

    confirm_above: Annotated[int, Field(ge=0), Unit("contacts")] = 1000
    """The command line asks before it queues more contacts than this."""

    retention_days: Annotated[float, Field(ge=0.01, le=3650), Unit("days")] = 30.0
    """How long a finished job and its ledger are kept."""

    def portal(self, name: str) -> Portal:
        """Return a configured portal.

        Raises:
            UnknownPortal: no portal of this name is configured; the message lists those that are.
        """
        try:
            return self.portals[name]
        except KeyError:
            raise UnknownPortal(name, self.portals) from None

    def webhook(self, name: str) -> Webhook:
        """Return a configured webhook.

        Raises:
            UnknownWebhook: no webhook of this name is configured; the message lists those that are.
        """
        for webhook in self.webhooks:
            if webhook.name == name:
                return webhook
        raise UnknownWebhook(name, (webhook.name for webhook in self.webhooks))

    @field_validator("portals", mode="before")
    @classmethod
    def _name_portals_by_key(cls, portals: object) -> object:
        if not isinstance(portals, Mapping):
            return portals
        return {key: {"name": key, **value} if isinstance(value, dict) else value for key, value in portals.items()}

    @field_validator("portals")
    @classmethod
    def _freeze_portals(cls, portals: Mapping[str, Portal]) -> Mapping[str, Portal]:
        for key, portal in portals.items():
            if key != portal.name:
                refuse(f"the portal named {portal.name!r} under its own name", given=repr(key))
        return MappingProxyType(dict(portals))

    @field_validator("api")
    @classmethod
    def _keys_name_configured_portals(cls, api: Api, info: ValidationInfo) -> Api:
        known = info.data.get("portals", ())
        for key in api.keys if "portals" in info.data else ():  # otherwise the portals themselves are wrong
            for name in key.portals or ():
                if name not in known:
                    refuse("names of configured portals", given=f"{name!r} among the portals of key {key.name!r}")
        return api

    @field_validator("schedules")
    @classmethod
    def _schedules_have_names_and_portals(
        cls, schedules: tuple[Schedule, ...], info: ValidationInfo
    ) -> tuple[Schedule, ...]:
        names = [schedule.name for schedule in schedules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            refuse("a different name for every schedule", given=f"{twice[0]!r} more than once")
        known = info.data.get("portals", ())
        for schedule in schedules if "portals" in info.data else ():  # otherwise the portals themselves are wrong
            if schedule.portal not in known:
                refuse("the name of a configured portal", given=f"{schedule.portal!r} in schedule {schedule.name!r}")
            if schedule.undo and known[schedule.portal].undo == "off":
                refuse(
                    f"`undo` switched on for portal {schedule.portal}, or off in schedule {schedule.name!r}",
                    given="undo = true in the schedule alone",
                )
        return schedules

    @field_validator("webhooks")
    @classmethod
    def _webhooks_are_told_apart(cls, webhooks: tuple[Webhook, ...], info: ValidationInfo) -> tuple[Webhook, ...]:
        names = [webhook.name for webhook in webhooks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            refuse("a different `name` for every webhook", given=f"{twice[0]!r} more than once")
        known = info.data.get("portals", ())
        for webhook in webhooks if "portals" in info.data else ():  # otherwise the portals themselves are wrong
            for name in webhook.portals or ():
                if name not in known:
                    refuse(
                        "names of configured portals", given=f"{name!r} among the portals of webhook {webhook.name!r}"
                    )
        return webhooks

    @field_serializer("portals", mode="wrap")
    def _dump_portals(self, portals: Mapping[str, Portal], dump: SerializerFunctionWrapHandler) -> Any:
        return dump(dict(portals))
