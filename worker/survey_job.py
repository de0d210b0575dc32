"""What a step of a survey starts from, and what it comes to: the same for plans, for looking again and for bundles."""

from dataclasses import dataclass

from jobs.lanes.grants import Batch
from jobs.lanes.survey_step import SurveyStep
from jobs.words.filters import Filter
from jobs.words.reasons import StateReason
from worker.portal_answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyJob:
    """What a step needs to know of its job.

    Attributes:
        batch: the step, as a lane was given it.
        filter: what its contacts were chosen by; None for a list.
        total: contact IDs of its list so far.
        max_contacts: largest job that its submitter may have; 0 for any.
        is_planning: whether its plan is being made.
        is_late: whether it has not started, and its plan is older than `recheck_after_s`.
        has_started: whether something of it has been sent.
        needs_bundle: whether records have to be kept before anything else of it is sent.
        survey: where its survey stands, as it is stored; empty before the first step.
    """

    batch: Batch
    filter: Filter | None
    total: int
    max_contacts: int = 0
    is_planning: bool = False
    is_late: bool = False
    has_started: bool = False
    needs_bundle: bool = False
    survey: bytes = b""

    @property
    def id(self) -> str:
        """The job's ID."""
        return self.batch.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One step of a survey.

    Attributes:
        step: what it found, to be recorded.
        answer: the result of its call; None if it took none.
        size: contacts that the call was about.
        error: what is wrong, for a person; None if all is well.
        stop: the state_reason with which the job must pause; None if it may go on.
    """

    step: SurveyStep
    answer: Answer | None = None
    size: int = 0
    error: str | None = None
    stop: StateReason | None = None
