"""The table of failures: every status, body and client exception, and what it means for the contact IDs sent.

The first matching row wins. `may_have_deleted` is False only if the portal certainly did nothing: an error does not
mean "not deleted", because the portal goes on working after its database has committed. `worker.failures` applies these
tables; `make docs` writes them into docs/failures.md.
"""

import socket
import ssl
from dataclasses import dataclass
from enum import Enum

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.http_exceptions import HttpProcessingError

from jobs.words.reasons import StateReason
from worker.portal_answers import Body, Remedy

# HRESULTs of the innermost .NET exception, as they are in the API's error envelope.
HRESULT_AUTHENTICATION = -2146233087
HRESULT_DATABASE = -2147467259
HRESULT_DISPOSED = -2146232798
HRESULT_INVALID_OPERATION = -2146233079
HRESULT_SECURITY = -2146233078
HRESULT_TIMEOUT = -2146233083


ANY_BODY = frozenset(Body)


@dataclass(frozen=True, slots=True)
class Decision:
    """What one kind of failure means; the fields are those of `Failure`."""

    action: Remedy
    may_have_deleted: bool
    reason: str
    message: str
    shrink: bool = False
    #: Least and most seconds to let the portal finish. Within these bounds it gets as long again as the call has taken.
    settle_s: tuple[float, float] = (0.0, 0.0)
    sent: bool = True
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class StatusRule:
    """One row of the table of statuses."""

    statuses: tuple[int, ...] | range
    decision: Decision
    bodies: frozenset[Body] = ANY_BODY
    #: Only error envelopes with one of these; empty for any.
    hresults: tuple[int, ...] = ()
    #: Only error envelopes with this message, ignoring case; empty for any.
    error_message: str = ""

    def fits(self, status: int, body: Body, hresult: int | None, error_message: str) -> bool:
        """Check whether this row decides such an answer."""
        return (
            status in self.statuses
            and body in self.bodies
            and (not self.hresults or hresult in self.hresults)
            and (not self.error_message or error_message.casefold() == self.error_message)
        )


class Flaw(Enum):
    """What can be wrong with an answer of status 200 that arrived complete."""

    TOO_LARGE = "larger than any real answer"
    INCOMPLETE = "lists less than it counts, or lacks a field (look-up, listing)"
    DISORDERED = "lists contacts out of order, or one of them twice (listing)"
    FOREIGN_ID = "lists a contact ID that was not asked for"
    NEVER_THE_API = "several answers in a row that are not the API's"


_API_ERROR = frozenset({Body.API_ERROR})
_EMPTY = frozenset({Body.EMPTY})
_HTML = frozenset({Body.HTML})

_WRONG_ADDRESS = "check the portal's url: the base address of the portal, without /api"
_GARBLED = Decision(
    Remedy.RETRY, True, "answer_garbled", "the portal's answer is not what its API sends", settle_s=(0.5, 10)
)
_CUT_OFF = Decision(Remedy.RETRY, True, "answer_garbled", "the portal's answer arrived damaged", settle_s=(0.5, 10))
_LOST = Decision(
    Remedy.RETRY, True, "connection_lost", "the connection broke before the portal answered", settle_s=(1, 30)
)
_TIMED_OUT = Decision(Remedy.RETRY, True, "timeout", "the portal did not answer in time", shrink=True, settle_s=(1, 60))
_UNREACHABLE = Decision(Remedy.RETRY, False, StateReason.PORTAL_UNREACHABLE, "no connection to the portal", sent=False)
_NOT_SET_UP = Decision(
    Remedy.STOP, False, StateReason.PORTAL_PROTOCOL, f"the portal's address cannot be used; {_WRONG_ADDRESS}"
)
_NO_NAME = Decision(
    Remedy.RETRY,
    False,
    StateReason.PORTAL_UNREACHABLE,
    "the portal's name cannot be resolved; check its url and the DNS",
    sent=False,
)
_BAD_CERTIFICATE = Decision(
    Remedy.STOP,
    False,
    StateReason.PORTAL_PROTOCOL,
    "the portal's certificate is not trusted; renew it, or name its authority in the portal's tls_ca_file",
    sent=False,
)
_REDIRECTED = Decision(
    Remedy.STOP,
    True,
    StateReason.PORTAL_PROTOCOL,
    f"the portal redirects to another address, which is never followed; {_WRONG_ADDRESS}",
)

#: Decides for a PUT; for calls that only read, `may_have_deleted` and `settle_s` do not apply.
STATUS_TABLE: tuple[StatusRule, ...] = (
    StatusRule(
        (200,),
        Decision(Remedy.RETRY, True, "portal_error", "the portal answered 200 with an error inside"),
        _API_ERROR,
    ),
    StatusRule(range(200, 300), _GARBLED),
    StatusRule(
        (301, 302, 307, 308),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_PROTOCOL,
            "the portal redirects to another address, usually from http to https; set the portal's url to the final "
            "address, beginning with https://",
        ),
    ),
    StatusRule(range(300, 400), _REDIRECTED),
    StatusRule(
        (400,),
        Decision(
            Remedy.STOP, False, StateReason.PORTAL_PROTOCOL, f"something other than the API refused; {_WRONG_ADDRESS}"
        ),
        _HTML,
    ),
    StatusRule((400,), Decision(Remedy.SPLIT, False, "rejected", "the portal rejected the request")),
    StatusRule(
        (401,),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_AUTH,
            "the portal does not accept the credentials; replace the portal's token, or its username and password",
        ),
    ),
    StatusRule(
        (402,),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_PAYMENT,
            "the portal is unpaid or not active; renew its licence or plan",
        ),
    ),
    StatusRule(
        (403,),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_FORBIDDEN,
            "the portal refuses calls from this network address; allow it in the portal's IP restrictions",
        ),
        _EMPTY,
    ),
    StatusRule(
        (403,),
        Decision(
            Remedy.RETRY, True, "portal_error", "the portal lost the connection to its database", settle_s=(1, 30)
        ),
        _API_ERROR,
        hresults=(HRESULT_INVALID_OPERATION, HRESULT_DISPOSED),
    ),
    StatusRule(
        (403,),
        Decision(
            Remedy.STOP, False, StateReason.PORTAL_FORBIDDEN, "the account lacks the rights; grant them in the CRM"
        ),
        _API_ERROR,
        hresults=(HRESULT_SECURITY,),
    ),
    StatusRule(
        (403,),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_FORBIDDEN,
            "the account has no access to the CRM module; grant it access (guests never have any)",
        ),
        _API_ERROR,
        error_message="forbidden",
    ),
    StatusRule(
        (403,),
        Decision(
            Remedy.STOP,
            True,
            StateReason.PORTAL_FORBIDDEN,
            "the portal, or something in front of it, forbids the call; check the account's rights and any firewall",
        ),
    ),
    StatusRule(
        (404,),
        Decision(
            Remedy.STOP,
            False,
            StateReason.PORTAL_PROTOCOL,
            f"no active portal answers at this address: unknown, suspended or about to be removed; {_WRONG_ADDRESS}",
        ),
        _EMPTY,
    ),
    StatusRule(
        (404, 405),
        Decision(Remedy.STOP, False, StateReason.PORTAL_PROTOCOL, f"this address has no such call; {_WRONG_ADDRESS}"),
    ),
    StatusRule((408,), _TIMED_OUT),
    StatusRule(
        (413, 414),
        Decision(Remedy.SPLIT, False, "rejected", "the request is too large for the portal", shrink=True),
    ),
    StatusRule(
        (407,),
        Decision(
            Remedy.STOP,
            True,
            StateReason.PORTAL_PROXY,
            "a proxy on the way asks for credentials; set the portal's proxy, proxy_username and proxy_password_file",
        ),
    ),
    StatusRule(
        (411, 415, 417, 421, 426, 431, 501, 505, 511),
        Decision(
            Remedy.STOP, True, StateReason.PORTAL_PROTOCOL, f"something that is not the API answered; {_WRONG_ADDRESS}"
        ),
    ),
    StatusRule((429,), Decision(Remedy.SLOW_DOWN, False, StateReason.RATE_LIMIT, "the portal asks for fewer calls")),
    StatusRule(range(400, 500), Decision(Remedy.RETRY, True, "portal_error", "the portal refused the call")),
    StatusRule(
        (500,),
        Decision(
            Remedy.RETRY,
            True,
            "timeout",
            "the portal's database took too long",
            shrink=True,
            settle_s=(1, 30),  # the driver gives a statement 30 s
        ),
        _API_ERROR,
        hresults=(HRESULT_TIMEOUT,),
    ),
    StatusRule(
        (500,),
        Decision(
            Remedy.RETRY,
            True,
            "portal_error",
            "the portal's database failed, for example with a deadlock",
            settle_s=(0.5, 5),
        ),
        _API_ERROR,
        hresults=(HRESULT_DATABASE,),
    ),
    StatusRule((500,), Decision(Remedy.RETRY, True, "portal_error", "the portal had an internal error")),
    StatusRule(
        (502,),
        Decision(
            Remedy.SLOW_DOWN,
            True,
            StateReason.PUSH_BACK,
            "the portal's application is down or restarting",
            settle_s=(1, 30),
        ),
    ),
    StatusRule(
        (503,),
        Decision(Remedy.SLOW_DOWN, False, StateReason.PUSH_BACK, "the portal is being moved, restored or backed up"),
        _EMPTY,
    ),
    StatusRule(
        (503, 529),
        Decision(
            Remedy.SLOW_DOWN, True, StateReason.PUSH_BACK, "the portal is overloaded or unavailable", settle_s=(1, 30)
        ),
    ),
    StatusRule(
        (504, 524, 598, 599),
        Decision(
            Remedy.RETRY,
            True,
            "timeout",
            "the gateway gave up waiting; the portal may still be working",
            shrink=True,
            settle_s=(5, 60),
        ),
    ),
    StatusRule(range(500, 600), Decision(Remedy.RETRY, True, "portal_error", "the portal failed", settle_s=(1, 30))),
    StatusRule(
        range(1000),
        Decision(Remedy.STOP, True, StateReason.PORTAL_PROTOCOL, f"not a status that the API uses; {_WRONG_ADDRESS}"),
    ),
)

FLAW_TABLE: dict[Flaw, Decision] = {
    Flaw.TOO_LARGE: Decision(
        Remedy.RETRY, True, "answer_garbled", "the portal's answer is larger than any real one", shrink=True
    ),
    Flaw.INCOMPLETE: Decision(
        Remedy.RETRY, True, "answer_garbled", "the portal's answer lists less than it counts, or lacks a field"
    ),
    Flaw.DISORDERED: Decision(
        Remedy.STOP,
        True,
        StateReason.PORTAL_PROTOCOL,
        "the portal does not list its contacts in order, so some could be missed; do not continue before the cause is "
        "known",
    ),
    Flaw.FOREIGN_ID: Decision(
        Remedy.STOP,
        True,
        StateReason.PORTAL_PROTOCOL,
        "the portal's answer lists a contact that was not asked for; do not continue before the cause is known",
        everyone=True,
    ),
    Flaw.NEVER_THE_API: Decision(
        Remedy.STOP, True, StateReason.PORTAL_PROTOCOL, f"several answers in a row were not the API's; {_WRONG_ADDRESS}"
    ),
}

#: By the exception's class; the most specific one wins (in its method resolution order).
EXCEPTION_TABLE: dict[type[BaseException], Decision] = {
    # Before anything was sent.
    aiohttp.ClientConnectorError: _UNREACHABLE,
    UnixClientConnectorError: _UNREACHABLE,
    aiohttp.ClientProxyConnectionError: _UNREACHABLE,
    ConnectionRefusedError: _UNREACHABLE,
    aiohttp.ClientConnectorDNSError: _NO_NAME,
    socket.gaierror: _NO_NAME,
    aiohttp.ConnectionTimeoutError: Decision(
        Remedy.RETRY, False, StateReason.PORTAL_UNREACHABLE, "connecting to the portal took too long", sent=False
    ),
    aiohttp.ClientSSLError: Decision(
        Remedy.RETRY, False, StateReason.PORTAL_UNREACHABLE, "no TLS connection to the portal", sent=False
    ),
    aiohttp.ClientConnectorSSLError: Decision(
        Remedy.RETRY,
        False,
        StateReason.PORTAL_UNREACHABLE,
        "no TLS connection to the portal; if this persists, check that its url names a TLS port",
        sent=False,
    ),
    aiohttp.ClientConnectorCertificateError: _BAD_CERTIFICATE,
    ssl.CertificateError: _BAD_CERTIFICATE,
    aiohttp.ServerFingerprintMismatch: Decision(
        Remedy.STOP,
        False,
        StateReason.PORTAL_PROTOCOL,
        "the portal's certificate is not the expected one; find out why before you continue",
        sent=False,
    ),
    UnicodeError: _NOT_SET_UP,  # from looking up a host name that no name server could know
    aiohttp.InvalidURL: _NOT_SET_UP,
    aiohttp.InvalidUrlClientError: _NOT_SET_UP,
    aiohttp.NonHttpUrlClientError: _NOT_SET_UP,
    # Decided by its status if a proxy is configured: worker/proxy_failures.py.
    aiohttp.ClientHttpProxyError: Decision(
        Remedy.STOP,
        False,
        StateReason.PORTAL_PROXY,
        "a proxy refuses the connection to the portal; check its rules",
        sent=False,
    ),
    # Redirects are never followed, so these cannot occur; if one does, the request went somewhere unknown.
    aiohttp.RedirectClientError: _REDIRECTED,
    aiohttp.InvalidUrlRedirectClientError: _REDIRECTED,
    aiohttp.NonHttpUrlRedirectClientError: _REDIRECTED,
    aiohttp.TooManyRedirects: _REDIRECTED,
    aiohttp.WSServerHandshakeError: _REDIRECTED,
    # While waiting.
    aiohttp.ServerTimeoutError: _TIMED_OUT,
    aiohttp.SocketTimeoutError: _TIMED_OUT,
    TimeoutError: _TIMED_OUT,
    # The connection broke at an unknown moment.
    aiohttp.ClientConnectionError: _LOST,
    aiohttp.ClientConnectionResetError: _LOST,
    aiohttp.ClientOSError: _LOST,
    aiohttp.ServerConnectionError: _LOST,
    aiohttp.ServerDisconnectedError: _LOST,
    aiohttp.UploadAbortedError: _LOST,
    ssl.SSLError: _LOST,
    ConnectionResetError: _LOST,
    ConnectionAbortedError: _LOST,
    BrokenPipeError: _LOST,
    OSError: _LOST,
    aiohttp.ClientError: _LOST,
    # An answer came, but it is damaged.
    aiohttp.ClientResponseError: _CUT_OFF,
    aiohttp.ContentTypeError: _CUT_OFF,
    aiohttp.ClientPayloadError: _CUT_OFF,
    HttpProcessingError: _CUT_OFF,
}
