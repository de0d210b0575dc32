"""Where a job stands, for a person: why it waits, what to do about it, what may be asked of it, when it may be done."""

from dataclasses import dataclass

from jobs.store.times import clock
from jobs.view.job import Job
from jobs.view.why import Eta
from jobs.words.outcomes import Outcome
from jobs.words.reasons import LIFTED_BY_RESUME, StateReason, is_moving, known_reason
from jobs.words.states import MOVES, Event, State, allowed_events
from web.page.session import Visitor
from web.page.text import duration, sentence
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
_TITLES: dict[str, str] = {StateReason.APPROVAL: "It has to be approved first"}
_TO_DO: dict[str, str] = {
    StateReason.OPERATOR: "Press Resume to go on.",
    StateReason.APPROVAL: "Press Approve to let it start.",
}


def name_of(job: Job) -> str:
    """Name a job for people; a request that was wrong may have neither label nor portal."""
    return job.label or (f"Job on {job.portal}" if job.portal else f"Job {job.id}")


def standing_of(job: Job) -> Standing | None:
    """Explain why a job waits or has stopped; None while it makes progress."""
    reason = job.state_reason
    if reason == StateReason.OPERATOR and (by := _who_paused(job)):
        return Standing(f"{by} paused it", _TO_DO[reason])
    if reason is None or (job.state is State.RUNNING and is_moving(reason)):
        return None
    known = known_reason(reason)
    if known is None:
        return Standing("It is waiting", "See the last error, then press Resume.")
    to_do = _TO_DO.get(reason) or known.remedy.format(id=job.id, go_on="press Resume")
    title = _TITLES.get(reason) or sentence(known.meaning)
    return Standing(f"{title}, until {clock(job.waits_until)}" if job.waits_until else title, sentence(to_do))


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
    earliest, latest = duration(eta.earliest_s), duration(eta.latest_s)
    return f"about {earliest}" if earliest == latest else f"{earliest} to {latest}"


def _who_paused(job: Job) -> str:
    return next((action.by for action in reversed(job.actions) if action.action == "pause"), "")
