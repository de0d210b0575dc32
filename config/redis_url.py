"""The address of Redis: checked, split into its parts, and shown without its password."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from pydantic import Secret

#: Redis numbers its databases with a C int.
MAX_DATABASE = 2**31 - 1

_MASK = "***"

_SENTINEL_SCHEMES = frozenset({"redis+sentinel", "rediss+sentinel"})
_SENTINEL_PORT = 26379
#: What Sentinel itself accepts as a name.
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,200}")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[^:]*))?")


class Endpoint(NamedTuple):
    """Where a server listens."""

    #: Name or address; an IPv6 address without brackets.
    host: str
    #: 1-65535
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class RedisAddress(NamedTuple):
    """The parts of a Redis URL, percent-decoded for clients that do not decode a URL's password themselves."""

    #: Empty for a Unix socket, and where Sentinel tells the host.
    host: str
    #: 1-65535; 0 for a Unix socket, and where Sentinel tells the port.
    port: int
    db: int
    username: str | None
    password: str | None
    tls: bool
    #: Path of a Unix socket; None for TCP.
    socket_path: str | None
    #: The Sentinels that know the primary; none if the server is named itself.
    sentinels: tuple[Endpoint, ...] = ()
    #: What the Sentinels call the primary; empty without Sentinels.
    service: str = ""


class RedisUrl(Secret[str]):
    """A checked Redis URL. `str` and `repr` show it without its password; `get_secret_value()` returns all of it."""

    def _display(self) -> str:
        return self.redacted

    @property
    def redacted(self) -> str:
        """The address without its password, for messages."""
        scheme, separator, rest = self.get_secret_value().partition("://")
        credentials, at, tail = rest.rpartition("@")
        user, colon, _ = credentials.partition(":")
        return f"{scheme}{separator}{user}{colon}{_MASK if colon else ''}{at}{tail}"

    @property
    def address(self) -> RedisAddress:
        """The parts of the address, percent-decoded."""
        return parse_redis_url(self.get_secret_value())

    def with_password(self, password: str) -> "RedisUrl":
        """Return this address with a password inserted, percent-encoded."""
        scheme, separator, rest = self.get_secret_value().partition("://")
        authority, slash, tail = rest.partition("/")
        user, _, host = authority.rpartition("@")
        login = f"{user.partition(':')[0]}:{quote(password, safe='')}"
        return RedisUrl(f"{scheme}{separator}{login}@{host}{slash}{tail}")


def redact_url(url: str) -> str:
    """Return a URL, valid or not, without anything that could be a secret.

    Everything between the scheme and the last `@` is treated as credentials (a password that was not percent-encoded
    can hold any character), everything after `?` or `#` as a possible token. Where the two overlap, only the scheme is
    left.
    """
    known = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
    scheme = known[0] if known else ""
    credentials, at, tail = url[len(scheme) :].rpartition("@")
    if re.search(r"[?#]", credentials):
        return f"{scheme}{_MASK}"
    tail = re.sub(r"([?#]).*", rf"\1{_MASK}", tail, flags=re.DOTALL)
    return f"{scheme}{_MASK}@{tail}" if at else f"{scheme}{tail}"


def parse_redis_url(url: str) -> RedisAddress:
    """Split a Redis URL into its parts.

    Args:
        url: `redis://` or `rediss://[user:password@]host[:port][/db]`, `unix://[user:password@]/path[?db=N]`, or
            `redis+sentinel://` or `rediss+sentinel://[user:password@]host[:port][,host[:port]…]/name[/db]`.

    Raises:
        ValueError: the URL is wrong; the message is worded as the end of "expected …" and holds no part of it.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("an address without blanks or control characters")
    if url.partition("://")[0].lower() in _SENTINEL_SCHEMES:
        return _behind_sentinels(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("a well-formed address") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("an address that begins with redis://, rediss://, unix:// or redis+sentinel://")
    if parts.fragment or "#" in url:
        raise ValueError("an address without '#' (write %23 inside a password)")
    host, port, socket_path, db = _socket_target(parts) if parts.scheme == "unix" else _tcp_target(parts)
    return RedisAddress(
        host=host,
        port=port,
        db=_database(db),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
        socket_path=socket_path,
    )


def _behind_sentinels(url: str) -> RedisAddress:
    """Split an address that names Sentinels; `urlsplit` knows no list of hosts."""
    scheme, _, rest = url.partition("://")
    if "#" in url:
        raise ValueError("an address without '#' (write %23 inside a password)")
    if "?" in rest:
        raise ValueError("an address without '?' (the path is the name and the database, as in /ledger/0)")
    authority, _, path = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = path.partition("/")
    if not _SERVICE.fullmatch(service):
        raise ValueError(
            "the name that the Sentinels give the primary, after the hosts (redis+sentinel://host:26379/NAME/0)"
        )
    return RedisAddress(
        host="",
        port=0,
        db=_database(db),
        username=unquote(user) if at and user else None,
        password=unquote(password) if at and password else None,
        tls=scheme.lower() == "rediss+sentinel",
        socket_path=None,
        sentinels=tuple(dict.fromkeys(_endpoint(part) for part in hosts.split(","))),
        service=service,
    )


def _endpoint(text: str) -> Endpoint:
    parts = _HOST_AND_PORT.fullmatch(text)
    if parts is None:
        raise ValueError("a host name or host:port for each Sentinel, with commas between them")
    port = parts["port"] or (str(_SENTINEL_PORT) if parts["port"] is None else "")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("a port from 1 to 65535")
    if parts["v6"] is None:
        return Endpoint(parts["host"].lower(), int(port))
    try:
        return Endpoint(str(ipaddress.IPv6Address(parts["v6"])), int(port))
    except ValueError:
        raise ValueError("an IPv6 address between brackets") from None


def _tcp_target(parts: SplitResult) -> tuple[str, int, None, str]:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("a port from 1 to 65535")
    if not parts.hostname:
        raise ValueError("a host name")
    if parts.query:
        raise ValueError("an address without '?' (the database number is the path, as in redis://host:6379/0)")
    return parts.hostname, port or 6379, None, parts.path.removeprefix("/")


def _socket_target(parts: SplitResult) -> tuple[str, int, str, str]:
    if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
        raise ValueError("the absolute path of a socket, as in unix:///run/redis.sock?db=0")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if set(options) - {"db"}:
        raise ValueError("no option but db after '?'")
    return "", 0, unquote(parts.path), options.get("db", "")


def _database(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > MAX_DATABASE:
        raise ValueError(f"a database number from 0 to {MAX_DATABASE}")
    return int(text)
