"""What it means when a proxy on the way fails, or answers in place of the portal.

For a portal with `https://` the proxy opens a tunnel (CONNECT): whatever goes wrong before the tunnel is open never
reached the portal. For `http://` the proxy reads the call, forwards it and may answer in the portal's place, even after
the portal has done what was asked, if the proxy rejects the answer. Such an answer is not the portal's, and proves
nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import aiohttp

from jobs.words.reasons import StateReason
from worker.failure_table import EXCEPTION_TABLE, Decision
from worker.portal_answers import Body, Remedy

_AWAY = Decision(
    Remedy.RETRY,
    False,
    StateReason.PORTAL_UNREACHABLE,
    "no connection to the proxy; check that it is running, and that the portal's proxy setting is right",
    sent=False,
)
_WHO = "the proxy asks for valid credentials; set or correct the portal's proxy_username and proxy_password_file"
_REFUSES = Decision(
    Remedy.STOP,
    False,
    StateReason.PORTAL_PROXY,
    "the proxy refuses the connection to the portal; allow the portal's address and port there",
    sent=False,
)

#: Answers to CONNECT by their status; the first matching row wins.
TUNNEL_TABLE: tuple[tuple[tuple[int, ...] | range, Decision], ...] = (
    ((407,), replace(_REFUSES, message=_WHO)),
    ((408, 429), replace(_AWAY, message="the proxy is busy; it will be tried again")),
    (
        range(500, 600),
        replace(
            _AWAY,
            message="the proxy cannot reach the portal; check the portal's url, and that the proxy may connect to it",
        ),
    ),
    (range(1000), _REFUSES),
)

#: What can go wrong with the proxy itself, by the exception's class; always before the call was sent.
AT_PROXY_TABLE: dict[type[BaseException], Decision] = {
    aiohttp.ClientConnectorDNSError: replace(
        _AWAY, message="the proxy's name cannot be resolved; check the portal's proxy setting and the DNS"
    ),
    aiohttp.ClientConnectorCertificateError: replace(
        _REFUSES,
        message="the proxy's certificate is not trusted; renew it, or name its authority in the portal's tls_ca_file",
    ),
    aiohttp.ClientConnectorSSLError: replace(
        _AWAY,
        message="no TLS connection to the proxy; if this persists, its address may begin with http://, not https://",
    ),
    aiohttp.ClientProxyConnectionError: _AWAY,
    aiohttp.ClientConnectorError: _AWAY,
}
#: Everything else that breaks while a tunnel is being opened.
NO_TUNNEL = replace(
    _AWAY,
    message="the proxy broke off before it reached the portal; check that it is an HTTP proxy that may connect to it",
)

#: An answer with one of these turns the call away unread: there is nothing to doubt.
_TURNED_AWAY = frozenset({401, 413, 414, 429})

#: Answers to a call that a proxy has read, which mean something else if they are not the API's.
SAID_BY_PROXY: Mapping[int, Decision] = {
    403: Decision(
        Remedy.STOP,
        True,
        StateReason.PORTAL_PROXY,
        "the proxy, or something behind it, forbids the call; allow the portal's address there",
        settle_s=(1, 30),
    ),
    407: Decision(Remedy.STOP, True, StateReason.PORTAL_PROXY, _WHO, settle_s=(1, 30)),
}

#: Host and port of the proxy on the way.
ProxyAt: TypeAlias = tuple[str, int]


def tunnel_refused(status: int) -> Decision:
    """Decide what an answer to CONNECT other than 200 means."""
    return next(decision for statuses, decision in TUNNEL_TABLE if status in statuses or statuses == range(1000))


def before_sending(error: BaseException, proxy: ProxyAt | None) -> Decision | None:
    """Decide an error that occurred before the call was sent, if the proxy is at fault.

    Args:
        error: what the HTTP library raised.
        proxy: where the proxy is; None if there is none.

    Returns:
        The decision; None if the portal's own side is at fault, or there is no proxy.
    """
    if proxy is None:
        return None
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return tunnel_refused(error.status)
    if isinstance(error, aiohttp.ClientConnectorError):
        if not isinstance(error, aiohttp.ClientProxyConnectionError) and (error.host, error.port) != proxy:
            return None
        return next(AT_PROXY_TABLE[cls] for cls in type(error).__mro__ if cls in AT_PROXY_TABLE)
    if isinstance(error, UnicodeError):  # a name that no name server could know: the proxy's, as that is looked up
        return AT_PROXY_TABLE[aiohttp.ClientConnectorDNSError]
    usual = next((EXCEPTION_TABLE[cls] for cls in type(error).__mro__ if cls in EXCEPTION_TABLE), None)
    return None if usual is not None and not usual.sent else NO_TUNNEL


def hearsay(decision: Decision, status: int, body: Body) -> Decision:
    """Decide an answer that a proxy has read, and may have given itself.

    Args:
        decision: what the answer would mean if it were the portal's.
        status: status of the answer.
        body: kind of its body; the API's own error envelope comes from the portal.
    """
    if body is Body.API_ERROR or status in _TURNED_AWAY:
        return decision
    if status in SAID_BY_PROXY:
        return SAID_BY_PROXY[status]
    least, most = decision.settle_s
    return replace(decision, may_have_deleted=True, settle_s=(max(least, 1.0), max(most, 30.0)))
