"""The tables of docs/failures.md, from worker/failure_table.py and worker/proxy_failures.py."""

from worker.failure_table import ANY_BODY, EXCEPTION_TABLE, FLAW_TABLE, STATUS_TABLE, Decision, StatusRule
from worker.portal_answers import Body
from worker.proxy_failures import AT_PROXY_TABLE, NO_TUNNEL, SAID_BY_PROXY, TUNNEL_TABLE

_PROXIES = """
## Proxies

This applies to portals behind a proxy. For `https://` addresses the proxy opens a tunnel, and a call that fails before
the tunnel is open never reached the portal. Calls to `http://` addresses are read by the proxy, which can answer them
itself, even after the portal has done what was asked. So for those, an answer that is not the API's own error is
*unknown* whatever the table of statuses says, except for 401, 413, 414 and 429, which turn a call away unread.

"""

_COLUMNS = "| Action | Deleted? | Reason | Smaller batches | Settle | Message |\n"
_RULES = "|---|---|---|---|---|---|\n"


def render() -> str:
    """Return the tables as Markdown."""
    parts = [
        "## Statuses\n\nThe first matching row wins.\n\n",
        "| HTTP | Body ",
        _COLUMNS,
        "|---|---",
        _RULES,
    ]
    parts += [f"| {_statuses(rule)} | {_bodies(rule)} {_row(rule.decision)}" for rule in STATUS_TABLE]
    parts += ["\n## Faulty answers with status 200\n\n", "| Flaw ", _COLUMNS, "|---", _RULES]
    parts += [f"| {flaw.value} {_row(decision)}" for flaw, decision in FLAW_TABLE.items()]
    parts += ["\n## Exceptions\n\nThe most specific class wins.\n\n", "| Exception ", _COLUMNS, "|---", _RULES]
    parts += [f"| `{_name(cls)}` {_row(decision)}" for cls, decision in EXCEPTION_TABLE.items()]
    parts += [_PROXIES, "| What the proxy does ", _COLUMNS, "|---", _RULES]
    parts += [f"| answers CONNECT with {_range(statuses)} {_row(decision)}" for statuses, decision in TUNNEL_TABLE]
    parts += [f"| `{_name(cls)}`, with the proxy {_row(decision)}" for cls, decision in AT_PROXY_TABLE.items()]
    parts += [f"| breaks off before it is connected to the portal {_row(NO_TUNNEL)}"]

    parts += [f"| answers itself with {status} {_row(decision)}" for status, decision in SAID_BY_PROXY.items()]
    return "".join(parts).rstrip()


def _row(decision: Decision) -> str:
    least, most = decision.settle_s
    cells = (
        decision.action.value.replace("_", " "),
        "unknown" if decision.may_have_deleted else "no",
        f"`{decision.reason}`",
        "yes" if decision.shrink else "",
        f"{least:g}–{most:g} s" if most else "",  # noqa: RUF001 -- a range is written with an en dash
        decision.message,
    )
    return f"| {' | '.join(cells)} |\n"


def _statuses(rule: StatusRule) -> str:
    return _range(rule.statuses)


def _range(statuses: tuple[int, ...] | range) -> str:
    if isinstance(statuses, range):
        last = statuses[-1]
        return "any other" if last >= 600 else f"other {statuses[0]}–{last}"  # noqa: RUF001 -- as above
    return ", ".join(map(str, statuses))


def _bodies(rule: StatusRule) -> str:
    kinds = "any" if rule.bodies == ANY_BODY else ", ".join(kind.value for kind in Body if kind in rule.bodies)
    if rule.hresults:
        kinds += f", HRESULT {' or '.join(map(str, rule.hresults))}"
    if rule.error_message:
        kinds += f", message “{rule.error_message.capitalize()}”"
    return kinds


def _name(cls: type[BaseException]) -> str:
    package = cls.__module__.partition(".")[0]
    return cls.__name__ if package == "builtins" else f"{package}.{cls.__name__}"
