"""One portal: its address, its credentials, how hard it may be driven. Guards and undo have files of their own."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from config.fields import NAME_PATTERN, FilePath, Unit, file_of_authorities, plain, refuse, secret_or_file
from config.guards import Guards
from config.proxy import Proxy, environment_proxy, proxy_url
from config.restoring import Restoring
from config.secret_file import BadSecret, check_token
from config.undo import Undo

#: Smallest and largest values of the two limits that can also be changed while jobs run.
REQUESTS_PER_SECOND = (0.01, 1000)
MAX_CONCURRENCY = (1, 64)


class Portal(Undo, Restoring, Guards):
    """A configured portal.

    Credentials take exactly one form: a token, or a user name and a password. Secrets given as files have been read by
    the time the object exists: `token` and `password` hold them either way.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the portal in requests, commands, logs and the page; the key of its table."""

    url: str
    """Base address of the portal, `http://` or `https://`, without `/api`."""

    token_file: FilePath | None = None
    """File that holds the token; read once at startup, trailing line ends ignored."""

    token: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Token of the account that deletes the contacts."""

    username: Annotated[str | None, Field(validate_default=True)] = None
    """User name (usually an e-mail address) to log in with, instead of a token."""

    password_file: FilePath | None = None
    """File that holds the password of `username`; read once at startup, trailing line ends ignored."""

    password: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Password of `username`."""

    auth_scheme: Literal["token", "bearer"] = "token"
    """Form of the `Authorization` header: the token alone, or after the word `Bearer`."""

    proxy: str | None = None
    """HTTP proxy on the way to the portal, `http://host:port` or `https://host:port`."""

    proxy_username: Annotated[str | None, Field(validate_default=True)] = None
    """User name for the proxy, if it asks for one."""

    proxy_password_file: FilePath | None = None
    """File that holds the password of `proxy_username`; read once at startup, trailing line ends ignored."""

    proxy_password: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Password of `proxy_username`."""

    proxy_from_environment: bool = False
    """Whether `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` determine the proxy; by default they are ignored."""

    tls_ca_file: FilePath | None = None
    """PEM file of the authorities trusted to issue the portal's certificate, in place of the system's."""

    requests_per_second: Annotated[
        float, Field(ge=REQUESTS_PER_SECOND[0], le=REQUESTS_PER_SECOND[1]), Unit("calls/s")
    ] = 5.0
    """Ceiling on calls to the portal, of every kind, across all workers and jobs."""

    burst: Annotated[int, Field(ge=1, le=1000), Unit("calls")] = 1
    """Calls that can be made at the same moment after a quiet period."""

    max_concurrency: Annotated[int, Field(ge=MAX_CONCURRENCY[0], le=MAX_CONCURRENCY[1]), Unit("calls")] = 1
    """Most calls in flight at any time, across all workers."""

    batch_size_start: Annotated[int, Field(ge=1, le=1000), Unit("contacts")] = 50
    """Contacts in the first batch of a portal; then tuned between 1 and `batch_size_max`."""

    batch_size_max: Annotated[int, Field(ge=1, le=1000, validate_default=True), Unit("contacts")] = 200
    """Largest batch ever sent; at least `batch_size_start`."""

    request_timeout_s: Annotated[float, Field(ge=1, le=600), Unit("s")] = 60.0
    """How long one call may take, from connecting to the last byte of the answer."""

    approval_above: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """Jobs larger than this wait for approval; 0 turns this off."""

    lookup_url_max_chars: Annotated[int, Field(ge=256, le=16000), Unit("characters")] = 8000
    """Longest request target of a look-up; nginx takes 16 kB, IIS about 2 kB."""

    answer_format: Literal["json", "xml"] = "json"
    """Format in which the portal is asked to answer."""

    protected_ids_file: FilePath | None = None
    """File of contact IDs that are never sent."""

    max_attempts: Annotated[int, Field(ge=1, le=20), Unit("attempts")] = 5
    """Attempts at a failing batch before it is halved, down to the contacts to give up; throttled ones do not count."""

    backoff_base_s: Annotated[float, Field(ge=0.01, le=60), Unit("s")] = 1.0
    """Upper bound of the wait before the first retry; it doubles with every further one."""

    backoff_max_s: Annotated[float, Field(ge=0.01, le=3600, validate_default=True), Unit("s")] = 60.0
    """Upper bound of the wait before any retry; at least `backoff_base_s`."""

    retry_after_max_s: Annotated[float, Field(ge=1, le=86_400), Unit("s")] = 3600.0
    """Longest rest that the portal gets when it asks for one (`Retry-After`); then one careful call goes alone."""

    retry_share: Annotated[float, Field(ge=0.01, le=1)] = 0.2
    """Largest share of the calls per second that retries can take, across all workers and jobs."""

    failure_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A job pauses when more than this share of its decided contacts has failed; 1 turns this off."""

    failure_threshold_from: Annotated[int, Field(ge=1), Unit("contacts")] = 1000
    """Contacts of a job that have to be decided before `failure_threshold` applies."""

    batch_target_s: Annotated[float, Field(ge=0.05, le=60), Unit("s")] = 3.0
    """How long the deletion of one batch should take; batches grow and shrink towards it."""

    @field_validator("url")
    @classmethod
    def _normalise_url(cls, url: str) -> str:
        if any(character.isspace() or not character.isprintable() for character in url):
            refuse("an address without blanks or control characters")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            refuse("a well-formed address, with a port from 1 to 65535")
        if parts.scheme not in {"http", "https"}:
            refuse("an address that begins with http:// or https://")
        if "@" in parts.netloc:
            refuse("an address without credentials; they have settings of their own")
        if "?" in url or "#" in url:
            refuse("a base address, without '?' and '#'")
        if not host or port == 0:
            refuse("an address with a host name, and a port from 1 to 65535 if it has one")
        path = parts.path.rstrip("/")
        if f"{path.lower()}/".endswith("/api/") or "/api/" in path.lower():
            refuse("the base address of the portal, without /api")
        return f"{parts.scheme}://{parts.netloc.lower()}{path}"

    @field_validator("token", mode="before")
    @classmethod
    def _read_token(cls, value: object, info: ValidationInfo) -> object:
        return secret_or_file(value, "token", info.data)

    @field_validator("token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if token is not None:
            try:
                check_token(token.get_secret_value())
            except BadSecret as error:
                file: Path | None = info.data.get("token_file")
                refuse(str(error), given=str(file) if file else None, field="token_file" if file else None)
        return token

    @field_validator("username")
    @classmethod
    def _one_form_of_credentials(cls, username: str | None, info: ValidationInfo) -> str | None:
        if username is None:
            return None
        if not username.strip():
            refuse("a user name")
        if info.data.get("token") is not None:
            refuse("either a token or username with a password, not both", given="both")
        return username

    @field_validator("password", mode="before")
    @classmethod
    def _read_password(cls, value: object, info: ValidationInfo) -> object:
        return secret_or_file(value, "password", info.data)

    @field_validator("password")
    @classmethod
    def _credentials_are_complete(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not {"token_file", "token", "username"} <= info.data.keys():
            return password  # one of them is wrong and has already been reported
        token, username = info.data["token"], info.data["username"]
        if password is None:
            if username is not None and "password_file" in info.data:
                refuse("password or password_file to go with username", given="nothing")
            if token is None:
                refuse("credentials: token, token_file, or username with password or password_file", given="nothing")
        elif not password.get_secret_value():
            refuse("a password that is not empty", given="an empty string")
        elif token is not None:
            refuse("either a token or username with a password, not both", given="both")
        elif username is None:
            refuse("username to go with the password", given="nothing", field="username")
        return password

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, proxy: str | None) -> str | None:
        try:
            return None if proxy is None else proxy_url(proxy)
        except ValueError as error:
            refuse(str(error))

    @field_validator("proxy_username")
    @classmethod
    def _proxy_user_has_a_proxy(cls, username: str | None, info: ValidationInfo) -> str | None:
        if username is None or "proxy" not in info.data:
            return username
        if info.data["proxy"] is None:
            refuse("proxy to go with proxy_username", given="nothing", field="proxy")
        if not username.strip() or ":" in username:
            refuse("a user name without a colon")
        return username

    @field_validator("proxy_password", mode="before")
    @classmethod
    def _read_proxy_password(cls, value: object, info: ValidationInfo) -> object:
        return secret_or_file(value, "proxy_password", info.data)

    @field_validator("proxy_password")
    @classmethod
    def _proxy_credentials_are_complete(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not {"proxy_username", "proxy_password_file"} <= info.data.keys():
            return password  # one of them is wrong and has already been reported
        username = info.data["proxy_username"]
        if password is None and username is not None:
            refuse("proxy_password or proxy_password_file to go with proxy_username", given="nothing")
        if password is not None and username is None:
            refuse("proxy_username to go with the proxy's password", given="nothing", field="proxy_username")
        if plain(password) == "":
            refuse("a password that is not empty", given="an empty string")
        return password

    @field_validator("proxy_from_environment")
    @classmethod
    def _one_way_to_name_a_proxy(cls, wanted: bool, info: ValidationInfo) -> bool:
        if not wanted:
            return False
        if info.data.get("proxy") is not None:
            refuse("either proxy or proxy_from_environment, not both", given="both")
        try:
            environment_proxy(info.data.get("url", ""))
        except ValueError as error:
            refuse(str(error), given="true")
        return True

    @field_validator("tls_ca_file")
    @classmethod
    def _authorities_are_readable(cls, file: Path | None) -> Path | None:
        return None if file is None else file_of_authorities(file)

    @field_validator("answer_format")
    @classmethod
    def _bundles_hold_json(cls, answer_format: str, info: ValidationInfo) -> str:
        if answer_format != "json" and info.data.get("undo", "off") != "off":
            refuse("json where undo is on: bundles hold records as the portal wrote them")
        return answer_format

    @field_validator("batch_size_max")
    @classmethod
    def _batch_sizes_in_order(cls, largest: int, info: ValidationInfo) -> int:
        start = info.data.get("batch_size_start")
        if start is not None and start > largest:
            refuse(f"at least batch_size_start, which is {start}")
        return largest

    @field_validator("backoff_max_s")
    @classmethod
    def _backoff_in_order(cls, longest: float, info: ValidationInfo) -> float:
        base = info.data.get("backoff_base_s")
        if base is not None and base > longest:
            refuse(f"at least backoff_base_s, which is {base:g}")
        return longest

    @property
    def address(self) -> str:
        """Fingerprint of its address, for comparison: jobs remember it, and never the address itself."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def proxy_on_the_way(self) -> Proxy | None:
        """Return the proxy that calls go through; None if they go straight to the portal."""
        if self.proxy is None:
            return environment_proxy(self.url) if self.proxy_from_environment else None
        return Proxy(self.proxy, "proxy", self.proxy_username or "", plain(self.proxy_password) or "")

    def needs_approval(self, contacts: int) -> bool:
        """Check whether a job of this many contact IDs has to wait for approval."""
        return 0 < self.approval_above < contacts
