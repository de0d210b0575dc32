"""What each state_reason means for a person, and what to do about it: one table for command line and page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """Plain words for one reason.

    Attributes:
        meaning: why the job does not move, or stopped.
        to_do: what a person should do; empty where it goes on by itself. `{id}` stands for the job's ID, `{go_on}` for
            what lets a paused job go on.
    """

    meaning: str
    to_do: str = ""


ADVICE: dict[str, Advice] = {
    # Somebody decides.
    "operator": Advice("somebody paused it", "to go on: {go_on}"),
    "approval": Advice("it is larger than the portal's approval_above", "to let it start: `crm-sweep approve {id}`"),
    # It never began.
    "bad_request": Advice("what was asked for is wrong, so nothing was deleted", "put it right and send it anew"),
    # It goes on by itself.
    "starting": Advice("it is about to start"),
    "rate_limit": Advice("the portal's requests_per_second lets the next call go in a moment"),
    "fair_share": Advice("other jobs of the portal have their turn"),
    "backoff": Advice("some contacts are tried again after a short wait"),
    "push_back": Advice(
        "the portal asked for a rest, or is overloaded; it goes on by itself", "to try the portal at once: {go_on}"
    ),
    "login_guard": Advice(
        "too many attempts to log in did not succeed, and crm-sweep waits so that the portal does not lock the account "
        "out; it goes on by itself"
    ),
    "no_worker": Advice("no worker is running", "start one with `crm-sweep worker`"),
    "portal_not_configured": Advice(
        "no worker that is running has the portal in its configuration",
        "add it, or correct its name, and restart the workers; the job goes on by itself",
    ),
    "portal_unreachable": Advice(
        "the portal cannot be reached, and is tried again now and then",
        "see that it runs, and that its url, and its proxy if it has one, are right",
    ),
    # A person has to put something right.
    "portal_auth": Advice(
        "the portal does not accept the credentials", "replace the portal's token or password, then {go_on}"
    ),
    "portal_payment": Advice("the portal is unpaid or not active", "renew its licence or plan, then {go_on}"),
    "portal_forbidden": Advice(
        "the portal refuses the account, or calls from this address", "give it access to the CRM, then {go_on}"
    ),
    "portal_proxy": Advice(
        "a proxy on the way to the portal refuses the calls",
        "correct the portal's proxy settings, or have its address allowed in the proxy, then {go_on}",
    ),
    "portal_protocol": Advice(
        "what answers is not the portal's API, or answers what it never should",
        "check the portal's url (the base address, without /api), then {go_on}",
    ),
    "failure_threshold": Advice(
        "too large a part of the contacts failed", "find the cause in the ledger's `failed` lines, then {go_on}"
    ),
}
"""One entry per word that `Job.state_reason` can be."""

_UNKNOWN = Advice("it waits for somebody", "see last_error, then {go_on}")

#: Reasons that say that something is wrong with the portal, the account or the way there.
PORTAL_FAULTS = frozenset(
    {"portal_auth", "portal_payment", "portal_forbidden", "portal_proxy", "portal_protocol", "portal_unreachable"}
)

#: Of these, the ones that a person has to put right: a portal that cannot be reached is tried again all the time.
NEEDS_A_PERSON = PORTAL_FAULTS - {"portal_unreachable"}


#: What holds a portal, and with it jobs that are not paused, until somebody resumes one of them.
LIFTED_BY_RESUME = NEEDS_A_PERSON | {"push_back"}


def remedy_for(reason: str) -> str:
    """Say what to do about a portal that cannot be worked with, where no job waits for it; empty if that is not known.

    Args:
        reason: a word as `Job.state_reason` has it.
    """
    advice = ADVICE.get(reason)
    return advice.to_do.removesuffix(", then {go_on}") if advice and reason in PORTAL_FAULTS else ""


def advice_on(reason: str, job_id: str, go_on: str | None = None) -> str:
    """Say in plain words why a job does not move and what to do.

    Args:
        reason: `Job.state_reason`.
        job_id: put into the commands that are recommended.
        go_on: what lets a paused job go on; by default the command `resume`.
    """
    advice = ADVICE.get(reason, _UNKNOWN)
    to_do = advice.to_do.format(id=job_id, go_on=go_on or f"`crm-sweep resume {job_id}`")
    return f"{advice.meaning}; {to_do}" if to_do else advice.meaning
