"""Renders the tables of `worker.failure_table` for people: `python -m tools.failure_page > docs/failures.md`."""

import sys

from worker.failure_table import ANY_BODY, EXCEPTION_TABLE, FAULT_TABLE, STATUS_TABLE, Body, Decision, StatusRule
from worker.proxy_failures import AT_PROXY_TABLE, NO_TUNNEL, SAID_BY_PROXY, TUNNEL_TABLE

_HEAD = """\
# Failures and what they mean

Generated from `worker/failure_table.py` by `python -m tools.failure_page`; a test keeps the two in step.

**Action**: *retry* later with backoff · *slow down*: the portal asks for fewer calls, costs no attempt · *split* the
batch down to the contacts that cause the failure · *stop* the job until a person has acted. **Deleted?**: *no* only if
the portal certainly did nothing; *unknown* contacts are looked up before anything else happens to them, after the
portal has had as much time again as the call took, within the bounds under **Settle**. Calls that only read never
delete anything and need not settle. `Retry-After` is read with every status; the rest that the portal gets is limited
by `retry_after_max_s`.


A user name or password that the portal refuses, a missing second factor and a locked account (HTTP 500 or 201 of the
log-in call) are *stop*, `portal_auth`; the same credentials are not tried again for a while. After three unsuccessful
attempts to log in within a minute, we wait before the next one, with `login_guard`: that costs no attempt, and says
nothing about the portal.

What stops a job holds back all jobs of the portal, as long as every worker has the configuration that met the failure.
An answer that lists a contact which was not asked for holds back every worker, whatever its configuration.
"""

_PROXIES = """
## Proxies

This is for portals behind a proxy. For `https://` addresses the proxy opens a tunnel, and whatever goes wrong before
the tunnel is open never reached the portal. Calls to `http://` addresses it reads and may answer itself, even after the
portal has done what was asked. So for those, an answer that is not the API's own error is *unknown* whatever the table
of statuses says, except for 401, 413, 414 and 429, which turn a call away unread.

"""

_COLUMNS = "| Action | Deleted? | Reason | Smaller batches | Settle | Message |\n"
_RULES = "|---|---|---|---|---|---|\n"


def render() -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        "\n## Statuses\n\nThe first matching row wins.\n\n",
        "| HTTP | Body ",
        _COLUMNS,
        "|---|---",
        _RULES,
    ]
    parts += [f"| {_statuses(rule)} | {_bodies(rule)} {_row(rule.decision)}" for rule in STATUS_TABLE]
    parts += ["\n## Faulty answers with status 200\n\n", "| Fault ", _COLUMNS, "|---", _RULES]
    parts += [f"| {fault.value} {_row(decision)}" for fault, decision in FAULT_TABLE.items()]
    parts += ["\n## Exceptions\n\nThe most specific class wins.\n\n", "| Exception ", _COLUMNS, "|---", _RULES]
    parts += [f"| `{_name(cls)}` {_row(decision)}" for cls, decision in EXCEPTION_TABLE.items()]
    parts += [_PROXIES, "| What the proxy does ", _COLUMNS, "|---", _RULES]
    parts += [f"| answers CONNECT with {_range(statuses)} {_row(decision)}" for statuses, decision in TUNNEL_TABLE]
    parts += [f"| `{_name(cls)}`, with the proxy {_row(decision)}" for cls, decision in AT_PROXY_TABLE.items()]
    parts += [f"| breaks off before it is connected to the portal {_row(NO_TUNNEL)}"]

    parts += [f"| answers itself with {status} {_row(decision)}" for status, decision in SAID_BY_PROXY.items()]
    return "".join(parts)


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


if __name__ == "__main__":
    sys.stdout.write(render())
