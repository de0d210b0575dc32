"""The catalogue of everything that this program keeps in Redis.

Every key starts with `crm-sweep`. {id} is a job's ID, {name} a portal's, {n} the number of a segment.

| key | type | a member looks like | written by | lives |
|---|---|---|---|---|
| crm-sweep | ZSET | arq's queue: arq job ID → due time (ms) | arq | until run |
| crm-sweep:jobs | ZSET | `01JD…` → created (ms) | create_job, reject_job | retention |
| crm-sweep:jobs:{state} | ZSET | `01JD…` → created (ms) | whatever moves a job, index_jobs | retention |
| crm-sweep:jobs_indexed | STRING | each job is in the list of its state | worker | for good |
| crm-sweep:finished | ZSET | `01JD…` → when it ended (ms) | settle, control, reject_job | retention |
| crm-sweep:workers | ZSET | `host:pid:…` → alive until (ms) | worker heartbeat | 3 heartbeats |
| crm-sweep:known_portals | ZSET | portal of a worker alive → until (ms) | worker heartbeat | 3 heartbeats |
| crm-sweep:staging:{token} | HASH | as job:{id}:segments | intake, and the page before a confirmation | 1 hour |
| crm-sweep:session:{hash} | STRING | whose session on the page it is | log-in | 12 hours |
| crm-sweep:job:{id} | HASH | state, n:deleted, cursor, … | create_job, reject_job, lanes, control | retention |
| crm-sweep:job:{id}:segments | HASH | `0` → roaring set of 65,536 contact IDs | create_job | retention |
| crm-sweep:job:{id}:ledger:{n} | LIST | binary (ledger/records.py) | settle | retention |
| crm-sweep:job:{id}:items | HASH | `7:200` → binary (ledger/items.py) | next_batch, settle, rescue | until settled |
| crm-sweep:job:{id}:history | LIST | `1763900000000 41000 5 200` | settle | retention |
| crm-sweep:job:{id}:due:put | ZSET | `7:200` → not before (ms) | settle, rescue | until taken |
| crm-sweep:job:{id}:due:look_up | ZSET | `9:3` → not before (ms) | settle, rescue | until taken |
| crm-sweep:portal:{name} | HASH | tat_us, push_back_until_ms, set_rate, … | next_batch, settle, set_limits | for good |
| crm-sweep:portal:{name}:active | ZSET | job ID → its turn | create_job, next_batch, settle | while it has work |
| crm-sweep:portal:{name}:waiting | ZSET | job ID → when its next work is due (ms) | next_batch | while it waits |
| crm-sweep:portal:{name}:leases | ZSET | lane token → lapses at (ms) | acquire, next_batch, renew | lease TTL |
| crm-sweep:portal:{name}:claims | HASH | `token/0` → its batch (msgpack) | next_batch, settle, rescue | one batch |
| crm-sweep:portal:{name}:stats | HASH | `calls:put:ok` → how many, ever (jobs/view/stats.py) | settle | for good |
| crm-sweep:portal:{name}:answers | LIST | one of the last 20 answers, JSON | settle | for good |
| crm-sweep:portal:{name}:faults | HASH | configuration → its fault (jobs/store/faults.py) | settle | 10 minutes |
| crm-sweep:portal:{name}:configurations | ZSET | `fingerprint/worker` → until (ms) | worker heartbeat | 3 heartbeats |
| crm-sweep:portal:{name}:token | STRING | encrypted log-in token | worker/login.py | as the portal says |
| crm-sweep:portal:{name}:login… | STRING | log-in lock, counters, last refusal | worker/login.py | a minute or so |

Times are on the Redis server's clock. Nothing here holds a credential in the clear.

Where a contact ID is. At every moment each position of a job's list is in exactly one place: ahead of the job's
`cursor` (never sent), in an item (waiting for a PUT or a look-up, or held by a lane's claim), or in the ledger.
Scripts move positions between these places and change the counts in the same step, so the counts always add up.
"""

from jobs.words.errors import UnknownJob
from jobs.words.job_ids import is_possible

PREFIX = "crm-sweep"
QUEUE = PREFIX
JOBS = f"{PREFIX}:jobs"
JOBS_INDEXED = f"{PREFIX}:jobs_indexed"
FINISHED = f"{PREFIX}:finished"
WORKERS = f"{PREFIX}:workers"
KNOWN_PORTALS = f"{PREFIX}:known_portals"

JOB = f"{PREFIX}:job:"
JOBS_IN = f"{JOBS}:"
PORTAL = f"{PREFIX}:portal:"

#: What stands behind a job's ID and a portal's name. The scripts get them by these names (jobs/store/lua_constants.py).
SEGMENTS, LEDGER, ITEMS, HISTORY = ":segments", ":ledger:", ":items", ":history"
DUE_PUT, DUE_LOOK_UP = ":due:put", ":due:look_up"
PARTS_OF_A_JOB = ("SEGMENTS", "LEDGER", "ITEMS", "HISTORY", "DUE_PUT", "DUE_LOOK_UP")

ACTIVE, WAITING, LEASES, CLAIMS = ":active", ":waiting", ":leases", ":claims"
STATS, ANSWERS, FAULTS, CONFIGURATIONS = ":stats", ":answers", ":faults", ":configurations"
PARTS_OF_A_PORTAL = ("ACTIVE", "WAITING", "LEASES", "CLAIMS", "STATS", "ANSWERS", "FAULTS", "CONFIGURATIONS")


def staging(token: str) -> str:
    """Segments of a list that is not accepted yet."""
    return f"{PREFIX}:staging:{token}"


def jobs_in(state: str) -> str:
    """The jobs in one state."""
    return JOBS_IN + state


def job(job_id: str) -> str:
    """The facts about one job. Lua derives the job's other keys from this one."""
    return f"{JOB}{job_id}"


def segments(job_id: str) -> str:
    """The contact IDs of one job."""
    return job(job_id) + SEGMENTS


def ledger(job_id: str, segment: int) -> str:
    """The outcomes of one segment."""
    return f"{job(job_id)}{LEDGER}{segment}"


def items(job_id: str) -> str:
    """The batches of one job that are neither ahead of its cursor nor decided."""
    return job(job_id) + ITEMS


def history(job_id: str) -> str:
    """How one job went over time."""
    return job(job_id) + HISTORY


def due_put(job_id: str) -> str:
    """The batches of one job that wait for a PUT."""
    return job(job_id) + DUE_PUT


def due_look_up(job_id: str) -> str:
    """The batches of one job that wait for a look-up."""
    return job(job_id) + DUE_LOOK_UP


def portal(name: str) -> str:
    """The pacing state of one portal. Lua derives the portal's other keys from this one."""
    return f"{PORTAL}{name}"


def active(name: str) -> str:
    """The jobs of one portal that want their turn."""
    return portal(name) + ACTIVE


def waiting(name: str) -> str:
    """The jobs of one portal whose next work is due later."""
    return portal(name) + WAITING


def leases(name: str) -> str:
    """The lanes that drive one portal."""
    return portal(name) + LEASES


def claims(name: str) -> str:
    """What the lanes of one portal hold."""
    return portal(name) + CLAIMS


def faults(name: str) -> str:
    """What a person must put right before one portal can be called, by configuration."""
    return portal(name) + FAULTS


def configurations(name: str) -> str:
    """The configurations of one portal that workers have."""
    return portal(name) + CONFIGURATIONS


def stats(name: str) -> str:
    """What one portal was asked and what came of it, counted since it was first used."""
    return portal(name) + STATS


def answers(name: str) -> str:
    """The last answers of one portal, newest first."""
    return portal(name) + ANSWERS


def known_key(job_id: str) -> str:
    """Give the key of a job's facts, for whoever was told the ID by somebody else.

    Raises:
        UnknownJob: there can be no job of this ID.
    """
    if not is_possible(job_id):
        raise UnknownJob(job_id)
    return job(job_id)
