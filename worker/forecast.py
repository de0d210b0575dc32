"""What a plan allows for each contact ID of a batch: what was approved is what is sent, and nothing else."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from redis.asyncio import Redis

from jobs.lanes.grants import Batch
from jobs.plan.digest import recompute
from jobs.plan.verdicts import unpack
from jobs.store import keys
from jobs.words.outcomes import Code
from jobs.words.verdicts import VerdictCode
from worker.per_segment import PerSegment

#: Plans that have been checked and are remembered.
_CHECKED = 1000

_NEVER_SENT = {VerdictCode.PROTECTED_LIST: Code.PROTECTED, VerdictCode.PROTECTED_TAG: Code.PROTECTED_TAG}


@dataclass(frozen=True, slots=True)
class Parts:
    """What becomes of a batch of a job with a plan, by index in its list of contact IDs.

    Attributes:
        send: contacts that the plan calls deletable.
        look_up: contacts that the plan does not call deletable: they are looked up, and never sent.
        spare: contacts that are left alone, by the outcome to record.
    """

    send: list[int] = field(default_factory=list)
    look_up: list[int] = field(default_factory=list)
    spare: dict[Code, list[int]] = field(default_factory=dict)

    @classmethod
    def all_of(cls, contacts: Sequence[int]) -> "Parts":
        """Return the parts where all of these are to be sent."""
        return cls(send=list(range(len(contacts))))

    def sending_only(self, has_record: Sequence[bool]) -> "Parts":
        """Return the same where contacts without a record are looked up instead of sent.

        Args:
            has_record: whether there is one, for each of the batch.
        """
        return Parts(
            send=[at for at in self.send if has_record[at]],
            look_up=sorted([*self.look_up, *(at for at in self.send if not has_record[at])]),
            spare=self.spare,
        )

    def without(self, protected: list[int]) -> "Parts":
        """Return the same with these indexes on the protected list, whatever the plan says."""
        spared = set(protected)
        spare = {code: [at for at in places if at not in spared] for code, places in self.spare.items()}
        spare[Code.PROTECTED] = sorted({*spare.get(Code.PROTECTED, ()), *spared})
        return Parts(
            send=[at for at in self.send if at not in spared],
            look_up=[at for at in self.look_up if at not in spared],
            spare={code: places for code, places in spare.items() if places},
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the plan says of one segment.

    Attributes:
        verdicts: a code of `VerdictCode` per position.
        exclusions: a code of the ledger per position, 0 where nothing has changed since; empty if nothing has.
    """

    verdicts: bytearray
    exclusions: bytearray

    def allows_all(self, positions: Sequence[int]) -> bool:
        """Check whether all of these positions are to be sent, as nearly always."""
        if isinstance(positions, range):
            span = slice(positions.start, positions.stop)
            verdicts = self.verdicts[span]
            return verdicts.count(VerdictCode.DELETABLE) == len(positions) and not any(self.exclusions[span])
        return all(self.verdicts[at] == VerdictCode.DELETABLE and not self.excluded(at) for at in positions)

    def is_deletable(self, at: int) -> bool:
        """Check whether the plan calls the contact at a position deletable; the others are never sent."""
        return self.verdicts[at] == VerdictCode.DELETABLE

    def is_never_sent(self, at: int) -> bool:
        """Check whether the contact at a position can never have left, whatever became of a batch that contained it.

        Verdicts never change, and what does not match the filter any more was found out before the first PUT. A
        protected tag may have come later.
        """
        return not self.is_deletable(at) or self.excluded(at) == Code.NO_LONGER_SELECTED

    def parts(self, positions: Sequence[int]) -> Parts:
        """Sort positions by what becomes of them."""
        parts = Parts()
        for index, at in enumerate(positions):
            verdict = VerdictCode(self.verdicts[at])
            spared = self.excluded(at) or _NEVER_SENT.get(verdict, Code.PENDING)
            if spared:
                parts.spare.setdefault(Code(spared), []).append(index)
            elif verdict is VerdictCode.DELETABLE:
                parts.send.append(index)
            else:
                parts.look_up.append(index)
        return parts

    def excluded(self, at: int) -> int:
        """Return the code of the ledger for what is left alone since the plan was made; 0 for anything else."""
        return self.exclusions[at] if self.exclusions else 0


class Forecasts:
    """Reads what plans say, and checks that they are what was approved.

    Args:
        redis: the connection.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._segments: PerSegment[tuple[str, str, int, int], Forecast] = PerSegment()
        self._checked: OrderedDict[tuple[str, str, str], bool] = OrderedDict()
        # Lanes come to a plan at the same time: one of them checks it, the others wait.
        self._checking = asyncio.Lock()

    async def of(self, batch: Batch, segment: int) -> Forecast:
        """Return what the plan of a batch's job says of a segment.

        Args:
            batch: a batch of a job with a plan.
            segment: number of the segment.

        Raises:
            LookupError: the plan is gone (the job was forgotten), or is not that of the batch any more.
        """
        # Not by the plan alone: two jobs may have the same, and be looked at again at different times.
        key = batch.job_id, batch.plan, batch.rechecks, segment
        return await self._segments.of(key, partial(self._read, batch, segment))

    async def _read(self, batch: Batch, segment: int) -> Forecast:
        # In one step: between two, the job could be forgotten, and its ID return with another plan.
        pipe = self._redis.pipeline(transaction=True)
        pipe.execute_command("HGET", keys.job(batch.job_id), "plan_digest")
        pipe.execute_command("HGET", keys.verdicts(batch.job_id), str(segment))
        pipe.execute_command("HGET", keys.exclusions(batch.job_id), str(segment))
        belongs_to, verdicts, exclusions = await pipe.execute()
        if verdicts is None or belongs_to != batch.plan.encode():
            raise LookupError(f"job {batch.job_id} has no plan of segment {segment}")
        return Forecast(unpack(verdicts), unpack(exclusions))

    async def stands(self, batch: Batch, conditions: str) -> bool:
        """Check that the plan that is stored is the one whose digest was approved, under these conditions.

        All of it is read once per process and plan: a second for ten million contacts.

        Args:
            batch: a batch of a job with a plan.
            conditions: those of this worker.
        """
        key = batch.job_id, batch.plan, conditions
        if key not in self._checked:
            async with self._checking:
                if key not in self._checked:
                    # What does not stand is not remembered: a person may put it right.
                    if not await self._check(batch, conditions):
                        return False
                    self._checked[key] = True
                    if len(self._checked) > _CHECKED:
                        self._checked.popitem(last=False)
        return True

    async def _check(self, batch: Batch, conditions: str) -> bool:
        try:
            return await recompute(self._redis, batch.job_id, conditions) == batch.plan
        except ValueError:
            return False
