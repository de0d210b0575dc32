"""Where a job stands, for a person: why it waits, what to do about it, what may be asked of it, when it may be done."""

from dataclasses import dataclass

from jobs.store.times import clock
from jobs.view.job import Job
from jobs.view.why import Eta
from jobs.words.outcomes import Outcome
from jobs.words.reasons import LIFTED_BY_RESUME, StateReason, is_moving, known_reason
from jobs.words.states import MOVES, Event, State, allowed_events
from web.page.session import Visitor
from web.page.text import sentence, span
from web.page.words import STATES, VERBS


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a job makes no progress.

    Attributes:
        title: the reason in plain words.
        to_do: what a person should do; empty where it resumes on its own.
    """

    title: str
    to_do: str


#: What the page says instead of the command line's advice.
_TITLES: dict[str, str] = {
    StateReason.APPROVAL: "It has to be approved first",
    StateReason.COOLING_OFF: "It is approved, and can be cancelled before its first contact is deleted",
}
_TO_DO: dict[str, str] = {
    StateReason.OPERATOR: "Press Resume to go on.",
    StateReason.APPROVAL: "Press Approve to let it start.",
    StateReason.PLAN_EXPIRED: "Cancel the job, and make a new plan.",
    StateReason.CANARY: "Compare what became of it with the prediction below, then press Resume, or cancel the job.",
    StateReason.STOPPED: "It goes on once somebody lets deletions go on: the line at the top says who stopped them.",
    StateReason.COOLING_OFF: "Then it starts on its own.",
}
_LOOK_AT_THE_PLAN = "Look at the plan below, then type the number of contacts that it deletes."


def name_of(job: Job) -> str:
    """Name a job for people; a request that was wrong may have neither label nor portal."""
    return job.label or (f"Job on {job.portal}" if job.portal else f"Job {job.id}")


def standing_of(job: Job) -> Standing | None:
    """Explain why a job waits or has stopped; None while it makes progress."""
    reason = job.state_reason
    if reason == StateReason.OPERATOR and (by := _who_paused(job)):
        return Standing(f"{by} paused it", _TO_DO[reason])
    if reason is None or (job.state in {State.PLANNING, State.RUNNING} and is_moving(reason)):
        return None
    known = known_reason(reason)
    if known is None:
        return Standing("It is waiting", "See the last error, then press Resume.")
    to_do = _TO_DO.get(reason) or known.remedy.format(id=job.id, go_on="press Resume")
    if reason == StateReason.APPROVAL and job.plan:
        to_do = _LOOK_AT_THE_PLAN
    title = _TITLES.get(reason) or sentence(known.meaning)
    return Standing(_with_end(title, job.waits_until), sentence(to_do))


def waits_for(job: Job) -> str:
    """Explain in a few words why a job waits, for a row of the list; empty while it makes progress."""
    standing = standing_of(job)
    return standing.title if standing else ""


def announcement(job: Job) -> str:
    """Return what a screen reader should announce unprompted: the state, and no more than that."""
    waits = waits_for(job)
    return f"{STATES[job.state].label}. {waits}." if waits else f"{STATES[job.state].label}."


def offered(job: Job, visitor: Visitor) -> list[Event]:
    """Return the verbs to show as buttons: allowed by the table, with an effect, and open to this visitor."""
    if not visitor.may("control"):
        return []
    allowed = [event for event in allowed_events(job.state) if MOVES[job.state, event] is not job.state]
    if job.state_reason in LIFTED_BY_RESUME and Event.RESUME not in allowed:
        allowed.append(Event.RESUME)  # it is not paused; what holds it is the portal's, and ends all the same
    if not job.counts[Outcome.FAILED] and Event.RETRY_FAILED in allowed:
        allowed.remove(Event.RETRY_FAILED)
    return [event for event in VERBS if event in allowed]


def eta_text(eta: Eta) -> str:
    """Write when a job may be done: a range, or one span where both ends read alike."""
    return span(eta.earliest_s, eta.latest_s)


def _with_end(title: str, until: str | None) -> str:
    """Say when a reason ends, behind the clause that states it."""
    if until is None:
        return title
    holds, semicolon, then = title.partition("; ")
    return f"{holds}, until {clock(until)}{semicolon}{then}"


def _who_paused(job: Job) -> str:
    return next((action.by for action in reversed(job.actions) if action.action == "pause"), "")
