"""Where the server may listen, and which names mean this machine only."""

from functools import lru_cache
from ipaddress import ip_address

from config.errors import CrmSweepError
from config.settings import Settings


class BadAddress(CrmSweepError):
    """The server must not or cannot listen where it was told to; the message says why and what to do."""


def check_host(settings: Settings, host: str) -> None:
    """Check that an API without keys can be reached from this machine only.

    Raises:
        BadAddress: it would be reached from elsewhere.
    """
    if not settings.api.keys and not is_loopback(host):
        raise BadAddress(
            f"api.host {host!r} can be reached from other machines, and there are no api.keys: anyone who reaches it "
            "could delete contacts; configure keys, or listen on 127.0.0.1"
        )


@lru_cache(maxsize=256)  # every request without keys asks about the same few names
def is_loopback(host: str) -> bool:
    """Check whether a name or address, without a port, is this machine's loopback."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_own_origin(origin: str, host: str) -> bool:
    """Check whether an Origin header names the same host and port as the Host header, over HTTP or HTTPS."""
    return origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


def without_port(host: str) -> str:
    """Return the host in a Host header: `[::1]:8080` is `[::1]`."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
