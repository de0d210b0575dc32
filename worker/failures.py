"""Turns whatever happened to a call into a `Failure`, using the tables of `worker.failure_table`."""

import errno
import os
import ssl
from dataclasses import replace

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from worker.failure_table import EXCEPTION_TABLE, FLAW_TABLE, STATUS_TABLE, Decision, Flaw, StatusRule
from worker.portal_answers import Body, Failure
from worker.proxy_failures import ProxyAt, before_sending, hearsay
from worker.retry_after import parse_retry_after

#: What to catch around a request; covers every class in `EXCEPTION_TABLE`.
CAUGHT = (aiohttp.ClientError, OSError, UnicodeError, HttpProcessingError)


def rule_for(status: int, body: Body, *, hresult: int | None = None, error_message: str = "") -> StatusRule:
    """Return the row of the table that decides an answer; the last row takes whatever no other row does."""
    fitting = (rule for rule in STATUS_TABLE if rule.fits(status, body, hresult, error_message))
    return next(fitting, STATUS_TABLE[-1])


def decide_status(
    status: int,
    body: Body,
    *,
    hresult: int | None = None,
    error_message: str = "",
    retry_after: str | None = None,
    date: str | None = None,
    now: float,
    elapsed_s: float = 0.0,
    deleting: bool = True,
    read_by_proxy: bool = False,
) -> Failure:
    """Decide what an answer that is not a valid envelope means.

    Args:
        status: HTTP status of the answer; can be any number.
        body: kind of its body.
        hresult: HRESULT of the error envelope, if it is one.
        error_message: message of the error envelope, if it is one.
        retry_after: the `Retry-After` header as received.
        date: the `Date` header as received.
        now: seconds since 1970 (UTC), for a `Retry-After` that is a date.
        elapsed_s: how long the call took.
        deleting: False for calls that only read, which never delete anything.
        read_by_proxy: whether a proxy read the call and may have answered in place of the portal.
    """
    decision = rule_for(status, body, hresult=hresult, error_message=error_message).decision
    said = f" (HTTP {status})"
    if read_by_proxy and body is not Body.API_ERROR:
        decision = hearsay(decision, status, body)
        said = f" (HTTP {status}, maybe from the proxy)"
    failure = _failure(decision, said, status=status, elapsed_s=elapsed_s, deleting=deleting)
    return replace(failure, retry_after_s=parse_retry_after(retry_after, now, date))


def decide_flaw(flaw: Flaw, *, status: int = 200, elapsed_s: float = 0.0, deleting: bool = True) -> Failure:
    """Decide what a faulty answer of status 200 means."""
    return _failure(FLAW_TABLE[flaw], "", status=status, elapsed_s=elapsed_s, deleting=deleting)


def decide_exception(
    error: BaseException,
    *,
    status: int | None = None,
    elapsed_s: float = 0.0,
    deleting: bool = True,
    proxy: ProxyAt | None = None,
    connecting: bool = False,
) -> Failure:
    """Decide what an exception raised by the HTTP library means.

    Args:
        error: of one of the classes in `CAUGHT`; others count as a lost connection.
        status: HTTP status, if the answer had begun to arrive.
        elapsed_s: how long the call took.
        deleting: False for calls that only read.
        proxy: host and port of the proxy on the way, if there is one.
        connecting: whether it was raised before the call was sent.
    """
    decision = (before_sending(error, proxy) if connecting else None) or next(
        (EXCEPTION_TABLE[cls] for cls in type(error).__mro__ if cls in EXCEPTION_TABLE),
        EXCEPTION_TABLE[aiohttp.ClientError],
    )
    if connecting and decision.may_have_deleted:  # whatever broke, the call had not been sent yet
        decision = EXCEPTION_TABLE[aiohttp.ClientConnectorError]
    if isinstance(error, aiohttp.ClientHttpProxyError):
        said = f" (HTTP {error.status} from the proxy)"
    else:
        said = f" ({type(error).__name__}{_detail(error)}{', through the proxy' if proxy else ''})"
    return _failure(decision, said, status=status, elapsed_s=elapsed_s, deleting=deleting)


def _detail(error: BaseException) -> str:
    """Return the system's words for an error; never `str(error)`, which can hold the portal's address."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError):
        # Only errors raised by OpenSSL itself have these; the portal's name follows the comma.
        words = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or ""
        return f": {words.partition(',')[0]}" if words else ""
    code = getattr(cause, "errno", None)
    return f": {os.strerror(code)}" if isinstance(code, int) and code in errno.errorcode else ""


def _failure(decision: Decision, said: str, *, status: int | None, elapsed_s: float, deleting: bool) -> Failure:
    least, most = decision.settle_s
    return Failure(
        action=decision.action,
        may_have_deleted=decision.may_have_deleted and deleting,
        reason=decision.reason,
        http_status=status,
        message=decision.message + said,
        shrink=decision.shrink,
        settle_s=min(max(elapsed_s, least), most) if deleting else 0.0,
        sent=decision.sent,
        everyone=decision.everyone,
    )
