"""What each state_reason means for a person, and what to do about it: one table for command line and page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """Plain words for one reason.

    Attributes:
        meaning: why the job does not move, or stopped.
        to_do: what a person should do; empty where it goes on by itself.
    """

    meaning: str
    to_do: str = ""

    def __str__(self) -> str:
        return f"{self.meaning}; {self.to_do}" if self.to_do else self.meaning


_RESUME = "then `crm-sweep resume ID`"

ADVICE: dict[str, Advice] = {
    # Somebody decides.
    "operator": Advice("somebody paused it", "`crm-sweep resume ID` goes on"),
    "approval": Advice("it is larger than the portal's approval_above", "`crm-sweep approve ID` lets it start"),
    # It goes on by itself.
    "starting": Advice("it is about to start"),
    "rate_limit": Advice("the portal's requests_per_second lets the next call go in a moment"),
    "fair_share": Advice("other jobs of the portal have their turn"),
    "backoff": Advice("some contacts are tried again after a short wait"),
    "push_back": Advice("the portal asked for a rest, or is overloaded; it goes on by itself"),
    "no_worker": Advice("no worker is running", "start one with `crm-sweep worker`"),
    "portal_unreachable": Advice(
        "the portal cannot be reached; it goes on by itself when the portal is back",
        "see that the portal runs and that its url is right",
    ),
    # A person has to put something right.
    "portal_auth": Advice(
        "the portal does not accept the credentials", f"replace the portal's token or password, {_RESUME}"
    ),
    "portal_payment": Advice("the portal is unpaid or not active", f"renew its licence or plan, {_RESUME}"),
    "portal_forbidden": Advice(
        "the portal refuses the account, or calls from this address", f"give it access to the CRM, {_RESUME}"
    ),
    "portal_protocol": Advice(
        "what answers is not the portal's API, or answers what it never should",
        f"check the portal's url (the base address, without /api), {_RESUME}",
    ),
    "failure_threshold": Advice(
        "too large a part of the contacts failed", f"look at `crm-sweep results ID --outcome failed`, {_RESUME}"
    ),
}
"""One entry per word that `Job.state_reason` can be."""

_UNKNOWN = Advice("see last_error", _RESUME.removeprefix("then "))


def advice_on(reason: str, job_id: str = "ID") -> Advice:
    """Give the plain words for a reason.

    Args:
        reason: `Job.state_reason`.
        job_id: put into the commands that are recommended.
    """
    advice = ADVICE.get(reason, _UNKNOWN)
    return Advice(advice.meaning, advice.to_do.replace(" ID", f" {job_id}"))


#: Reasons that a person has to put right at the portal or in its settings before a paused job can go on.
PORTAL_FAULTS = frozenset(
    {"portal_auth", "portal_payment", "portal_forbidden", "portal_protocol", "portal_unreachable"}
)
