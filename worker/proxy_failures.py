"""What it means when a proxy on the way fails, or answers in place of the portal.

To a portal with `https://` the proxy opens a tunnel (CONNECT): whatever goes wrong before that stands never reached the
portal. With `http://` the proxy reads the call, sends it on and may answer itself: also after the portal has done what
was asked, where the proxy does not like the answer. Such words are not the portal's, and prove nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import aiohttp

from jobs.words.reasons import StateReason
from worker.failure_table import EXCEPTION_TABLE, Body, Decision
from worker.portal_answers import Remedy

_AWAY = Decision(
    Remedy.RETRY,
    False,
    StateReason.PORTAL_UNREACHABLE,
    "no connection to the proxy; see that it runs, and that the portal's proxy setting is right",
    sent=False,
)
_WHO = "the proxy does not know who is calling; set, or correct, the portal's proxy_username and proxy_password_file"
_REFUSES = Decision(
    Remedy.STOP,
    False,
    StateReason.PORTAL_PROXY,
    "the proxy refuses the connection to the portal; have its address and port allowed there",
    sent=False,
)

#: Answers to CONNECT by their status; the first row that fits wins.
TUNNEL_TABLE: tuple[tuple[tuple[int, ...] | range, Decision], ...] = (
    ((407,), replace(_REFUSES, message=_WHO)),
    ((408, 429), replace(_AWAY, message="the proxy is busy; it will be tried again")),
    (
        range(500, 600),
        replace(
            _AWAY,
            message="the proxy cannot reach the portal; check the portal's url, and whether the proxy may go there",
        ),
    ),
    (range(1000), _REFUSES),
)

#: What goes wrong with the proxy itself, by the exception's class; all of it before the call was sent.
AT_PROXY_TABLE: dict[type[BaseException], Decision] = {
    aiohttp.ClientConnectorDNSError: replace(
        _AWAY, message="the proxy's name cannot be resolved; check the portal's proxy setting and the DNS"
    ),
    aiohttp.ClientConnectorCertificateError: replace(
        _REFUSES,
        message="the proxy's certificate is not trusted; renew it, or name its authority in the portal's tls_ca_file",
    ),
    aiohttp.ClientConnectorSSLError: replace(
        _AWAY, message="no TLS connection to the proxy; if this stays, its address begins with http://, not https://"
    ),
    aiohttp.ClientProxyConnectionError: _AWAY,
    aiohttp.ClientConnectorError: _AWAY,
}
#: Everything else that breaks while a tunnel is being opened.
NO_TUNNEL = replace(
    _AWAY,
    message="the proxy broke off before it had reached the portal; see that it is an HTTP proxy that may go there",
)

#: Whoever answers with one of these has turned the call away unread: there is nothing to doubt.
_TURNED_AWAY = frozenset({401, 413, 414, 429})

#: Answers to a call that a proxy has read, which mean something else where they are not the API's.
SAID_BY_PROXY: Mapping[int, Decision] = {
    403: Decision(
        Remedy.STOP,
        True,
        StateReason.PORTAL_PROXY,
        "the proxy, or what stands behind it, forbids the call; have the portal's address allowed there",
        settle_s=(1, 30),
    ),
    407: Decision(Remedy.STOP, True, StateReason.PORTAL_PROXY, _WHO, settle_s=(1, 30)),
}

#: Host and port of the proxy on the way.
ProxyAt: TypeAlias = tuple[str, int]


def tunnel_refused(status: int) -> Decision:
    """Decide what an answer to CONNECT means that is not 200."""
    return next(decision for statuses, decision in TUNNEL_TABLE if status in statuses or statuses == range(1000))


def before_sending(error: BaseException, proxy: ProxyAt | None) -> Decision | None:
    """Decide an error that came before the call was sent, where the proxy is at fault.

    Args:
        error: what the HTTP library raised.
        proxy: where the proxy is, None if there is none.

    Returns:
        The decision; None where the portal's own side is at fault, as without a proxy.
    """
    if proxy is None:
        return None
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return tunnel_refused(error.status)
    if isinstance(error, aiohttp.ClientConnectorError):
        if not isinstance(error, aiohttp.ClientProxyConnectionError) and (error.host, error.port) != proxy:
            return None
        return next(AT_PROXY_TABLE[cls] for cls in type(error).__mro__ if cls in AT_PROXY_TABLE)
    if isinstance(error, UnicodeError):  # a name that no name server could know: that of the proxy, which is looked up
        return AT_PROXY_TABLE[aiohttp.ClientConnectorDNSError]
    usual = next((EXCEPTION_TABLE[cls] for cls in type(error).__mro__ if cls in EXCEPTION_TABLE), None)
    return None if usual is not None and not usual.sent else NO_TUNNEL


def hearsay(decision: Decision, status: int, body: Body) -> Decision:
    """Decide an answer that a proxy has read, and may have given itself.

    Args:
        decision: what the answer would mean, were it the portal's.
        status: of the answer.
        body: kind of its body; the API's own error envelope is the portal's word.
    """
    if body is Body.API_ERROR or status in _TURNED_AWAY:
        return decision
    if status in SAID_BY_PROXY:
        return SAID_BY_PROXY[status]
    least, most = decision.settle_s
    return replace(decision, may_have_deleted=True, settle_s=(max(least, 1.0), max(most, 30.0)))
