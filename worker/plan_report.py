"""Adds a plan up: how many contacts get which verdict, what carrying it out takes, and what a person should know."""

from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis

from config.errors import CrmSweepError
from config.portal import Portal
from jobs.accept.submission import canary_terms
from jobs.lanes.grants import Batch
from jobs.lanes.survey_step import SurveyStep
from jobs.plan.digest import PlanDigest
from jobs.plan.estimate import Pace
from jobs.plan.facts import PLANNING_FACTS, Findings
from jobs.plan.summary import BLAST_RADIUS, PlanWarning
from jobs.plan.verdicts import as_verdicts, count, unpack
from jobs.store import keys
from jobs.store.clock import Clocks
from jobs.store.portal_state import PortalState
from jobs.words.filters import Filter
from jobs.words.states import Event
from jobs.words.verdicts import Verdict, VerdictCode
from worker.survey import Survey

#: The portal's search finds at most so many contacts in each of its indexes, whatever there is.
SEARCH_IS_CUT_AT = 1000
#: A plan that deletes more than this share of the portal says so.
LARGE_SHARE = 0.5


class PlanRefused(CrmSweepError):
    """A plan of these contacts cannot be trusted, or a guard forbids it; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """Adds up the plans of one portal.

    Args:
        redis: the connection.
        portal: the portal's settings.
        look_up_size: contact IDs of one look-up.
        conditions: under which the plans are made (`conditions_of`).
    """

    redis: Redis
    portal: Portal
    look_up_size: int
    conditions: str

    async def of(self, batch: Batch, selection: Filter | None, survey: Survey, max_contacts: int) -> SurveyStep:
        """Return the step that ends the planning of a job.

        Args:
            batch: the step that a lane was given.
            selection: the filter that chose the contacts; None for a list.
            survey: the finished survey.
            max_contacts: largest job that its submitter may have; 0 for any.

        Raises:
            PlanRefused: no plan can be made of what was found.
        """
        total, counts, digest = await self._read(batch.job_id)
        forget = ["survey", *PLANNING_FACTS]
        if not total:
            return SurveyStep(forget=forget, event=Event.NOTHING_SELECTED)
        self._check(selection, survey, total, max_contacts)
        verdicts = as_verdicts(counts.items())
        deletable = verdicts[Verdict.DELETABLE]
        seen = total - verdicts[Verdict.ABSENT] - counts[VerdictCode.PROTECTED_LIST]
        portal_total = max(survey.portal_total, seen)  # the listing's own count can be a minute old
        share = deletable / portal_total if portal_total else 0.0
        looked_up = total - deletable - verdicts[Verdict.PROTECTED]
        pace = await self._pace()
        findings = Findings(
            portal_total=portal_total,
            counts=verdicts,
            share=round(share, 6),
            calls=pace.calls(deletable, looked_up),
            estimate_s=pace.seconds(deletable, looked_up),
            warnings=tuple(self._warnings(selection, survey, verdicts, share)),
        )
        made_ms = batch.server_ms()
        expires_ms = made_ms + round(self.portal.plan_valid_h * 3_600_000)
        facts = {
            "total": str(total),
            "plan": findings.json(),
            "plan_digest": digest,
            "plan_conditions": self.conditions,
            "plan_made_ms": str(made_ms),
            "plan_expires_ms": str(expires_ms),
            "plan_share": repr(share),
        }
        if self.portal.undo == "required":
            facts["undo"] = "1"  # also if the job was accepted before
        canary = canary_terms(self.portal, total)
        if canary:
            facts |= {name: str(value) for name, value in canary.facts(total).items()}
        if self.portal.protected_tags:
            facts["survey_due_ms"] = str(made_ms)
        elif selection is not None:
            facts["survey_due_ms"] = str(made_ms + round(self.portal.recheck_after_s * 1000))
        sample = survey.sampler.sample()
        return SurveyStep(
            facts=facts,
            forget=forget,
            event=Event.PLANNED,
            sample=msgspec.json.encode(sample).decode() if sample else None,
            sample_until_ms=expires_ms,
        )

    async def _read(self, job_id: str) -> tuple[int, dict[VerdictCode, int], str]:
        """Read the whole plan as it is stored, a segment at a time; return its size, its verdicts and its digest."""
        keeps_records = self.portal.undo == "required"
        keeps_records |= await self.redis.execute_command("HEXISTS", keys.job(job_id), "undo")
        total, counts, digest = 0, dict.fromkeys(VerdictCode, 0), PlanDigest(keeps_records=bool(keeps_records))
        for segment in range(await self.redis.execute_command("HLEN", keys.segments(job_id))):
            pipe = self.redis.pipeline(transaction=False)
            pipe.execute_command("HGET", keys.segments(job_id), str(segment))
            pipe.execute_command("HGET", keys.verdicts(job_id), str(segment))
            ids, packed = await pipe.execute()
            codes = unpack(packed)
            digest.add(ids, codes)
            total += len(codes)
            for code, number in count(codes).items():
                counts[code] += number
        if counts.pop(VerdictCode.UNKNOWN):
            raise ValueError(f"job {job_id} has contacts without a verdict")
        return total, counts, digest.hexdigest(self.conditions)

    def _check(self, selection: Filter | None, survey: Survey, total: int, max_contacts: int) -> None:
        if 0 < max_contacts < total:
            raise PlanRefused(
                f"the filter selects {total:,} contacts, and the key of its submitter allows {max_contacts:,} per job"
            )
        most = self.portal.max_contacts_per_job
        if 0 < most < total:
            raise PlanRefused(
                f"the filter selects {total:,} contacts, and portal {self.portal.name} allows {most:,} per job"
            )
        hits = max(total, survey.search_hits)
        if selection and selection.text and hits >= SEARCH_IS_CUT_AT:
            raise PlanRefused(
                f"the search finds {hits:,} contacts, and the portal's search is cut off at {SEARCH_IS_CUT_AT:,}, so "
                "others may be missing; select by tags, dates or kind instead"
            )

    async def _pace(self) -> Pace:
        pipe = self.redis.pipeline(transaction=False)
        Clocks.ask(pipe)
        PortalState.ask(pipe, self.portal.name)
        replies = iter(await pipe.execute())
        clocks = Clocks.take(replies)
        state = PortalState.take(replies, clocks)
        return Pace(
            requests_per_second=state.learned_rate(self.portal.requests_per_second),
            max_concurrency=state.concurrency(self.portal.max_concurrency),
            batch_size=state.batch_size(self.portal.batch_size_start, self.portal.batch_size_max),
            batch_size_max=self.portal.batch_size_max,
            look_up_size=self.look_up_size,
            batch_target_s=self.portal.batch_target_s,
        )

    def _warnings(
        self, selection: Filter | None, survey: Survey, verdicts: dict[Verdict, int], share: float
    ) -> list[PlanWarning]:
        deletable = verdicts[Verdict.DELETABLE]
        warnings = []
        if survey.companies:
            warnings.append(
                PlanWarning(
                    "companies_with_persons",
                    survey.companies,
                    "these companies have persons; those that are not deleted too stay, without a company",
                )
            )
        if selection and selection.text:
            warnings.append(
                PlanWarning(
                    "text_search",
                    deletable,
                    "the portal's search looks at names, notes, details, custom fields and the texts of events, and "
                    "adds the persons of companies that it finds",
                )
            )
        warnings += [
            PlanWarning("tag_without_effect", 0, f"no contact that was listed has the tag {tag!r}; is that right?")
            for tag in (selection.without_tags if selection else ())
            if not survey.unwanted.get(tag)
        ]
        if share > LARGE_SHARE:
            warnings.append(PlanWarning("large_share", deletable, f"this is {share:.2%} of the portal's contacts"))
        if share > self.portal.max_share:
            most = f"{self.portal.max_share:.2%}"
            warnings.append(
                PlanWarning(BLAST_RADIUS, deletable, f"the portal's max_share allows {most}: it cannot be approved")
            )
        most_per_day = self.portal.max_contacts_per_day
        if 0 < most_per_day < deletable:
            days = -(-deletable // most_per_day)
            warnings.append(PlanWarning("daily_cap", deletable, f"max_contacts_per_day makes this take {days} days"))
        if not deletable:
            warnings.append(PlanWarning("nothing_deletable", 0, "nothing would be deleted"))
        return warnings
