"""The proxy on the way to a portal: its checked address, without its credentials."""

import base64
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy that calls go to first."""

    #: `http://host:port` or `https://host:port`, without credentials.
    url: str
    #: What named it, for people: the setting `proxy`, or the variable.
    named_by: str
    #: For a proxy that asks for credentials; both empty if it does not.
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """The host, in lower case and without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def authorization(self) -> str:
        """Value of the `Proxy-Authorization` header, a secret; empty without credentials."""
        if not self.username and not self.password:
            return ""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


def proxy_url(text: str) -> str:
    """Check the address of a proxy and return it without a trailing slash.

    Raises:
        ValueError: the address is wrong; the message is worded as the end of "expected …" and holds no part of it.
    """
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("an address without blanks or control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a well-formed address, with a port from 1 to 65535") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(
            "an address that begins with http:// or https:// (other proxies, such as SOCKS, are not supported)"
        )
    if "@" in parts.netloc:
        raise ValueError("an address without credentials; they have settings of their own")
    if not host or port == 0:
        raise ValueError("an address with a host name, and a port from 1 to 65535 if it has one")
    if parts.path.strip("/") or "?" in text or "#" in text:
        raise ValueError("an address that ends after the host name or port")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def environment_proxy(portal_url: str) -> Proxy | None:
    """Return the proxy that the environment names for an address; None if it names none.

    `HTTPS_PROXY` is for `https://` addresses, `HTTP_PROXY` for `http://`, `NO_PROXY` for those that need none, in upper
    or lower case. As elsewhere, an address without a scheme is taken to be that of an HTTP proxy.

    Raises:
        ValueError: the variable's value cannot be used; the message says what would be right, without any part of it.
    """
    parts = urlsplit(portal_url)
    given = urllib.request.getproxies().get(parts.scheme)
    if not given or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    name = f"{parts.scheme.upper()}_PROXY"
    scheme, separator, rest = given.partition("://") if "://" in given else ("http", "://", given)
    credentials, _, address = rest.rpartition("@")
    try:
        url = proxy_url(f"{scheme.lower()}{separator}{address}")
    except ValueError as error:
        raise ValueError(f"in {name} {error}") from None
    username, _, password = credentials.partition(":")
    return Proxy(url, name, unquote(username), unquote(password))
