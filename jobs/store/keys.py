"""Names of the keys in Redis: each prefix and each suffix stands here alone.

What each key holds, who writes it and how long it lives is in jobs/store/catalogue.py.

Where a contact ID is. At every moment each position of a job's list is in exactly one place: ahead of the job's
`cursor` (never sent), in an item (waiting for a PUT or a look-up, or held by a lane's claim), or in the ledger.
Where a job has a canary, the canary's positions are ahead of `canary_cursor` instead, and `cursor` passes over them.
What a cancel finds ahead of the cursors is skipped: `skipped_from` and `skipped_canary_from` say where they were, which
is the ledger's entry for it. Scripts move positions between these places and change the counts in the same step, so the
counts always add up.
"""

from jobs.words.errors import UnknownJob
from jobs.words.job_ids import is_possible

PREFIX = "crm-sweep"
QUEUE = PREFIX
FORMAT = f"{PREFIX}:format"
JOBS = f"{PREFIX}:jobs"
JOBS_INDEXED = f"{PREFIX}:jobs_indexed"
FINISHED = f"{PREFIX}:finished"
WORKERS = f"{PREFIX}:workers"
KNOWN_PORTALS = f"{PREFIX}:known_portals"
STOPPED = f"{PREFIX}:stopped"
WEBHOOKS = f"{PREFIX}:webhooks"
EVENTS_TOLD = f"{PREFIX}:events_told"
REPLICATED = f"{PREFIX}:replicated"
REPLICATED_UNTIL = f"{PREFIX}:replicated_until"
BUNDLES = f"{PREFIX}:bundles"
CLOCK = f"{PREFIX}:clock"
LIFELINES = f"{PREFIX}:lifelines"

#: A channel, not a key: workers that are idle listen to it (worker/nudge.py).
NUDGE = f"{PREFIX}:nudge"

#: Not a key either: how arq's IDs of wake-ups begin. No job can have such an ID, so workers know them without reading.
WAKE_UP = f"{PREFIX}:wake:"

JOB = f"{PREFIX}:job:"
JOBS_IN = f"{JOBS}:"
PORTAL = f"{PREFIX}:portal:"
WEBHOOK = f"{PREFIX}:webhook:"
STAGING = f"{PREFIX}:staging:"
SESSION = f"{PREFIX}:session:"
SCHEDULE = f"{PREFIX}:schedule:"

#: What stands behind a job's ID and a portal's name. The scripts get them by these names (jobs/store/lua_constants.py).
SEGMENTS, LEDGER, ITEMS, HISTORY = ":segments", ":ledger:", ":items", ":history"
DUE_PUT, DUE_LOOK_UP = ":due:put", ":due:look_up"
VERDICTS, EXCLUSIONS, SAMPLE = ":verdicts", ":exclusions", ":sample"
RECEIPTS = ":receipts"
RESTORING, RESTORED = ":restoring", ":restored:"
KEPT, OBJECTS = ":kept", ":objects"
PARTS_OF_A_JOB = (
    "SEGMENTS",
    "LEDGER",
    "ITEMS",
    "HISTORY",
    "DUE_PUT",
    "DUE_LOOK_UP",
    "VERDICTS",
    "EXCLUSIONS",
    "SAMPLE",
    "RECEIPTS",
    "RESTORING",
    "RESTORED",
    "KEPT",
    "OBJECTS",
)

ACTIVE, WAITING, LEASES, CLAIMS = ":active", ":waiting", ":leases", ":claims"
STATS, ANSWERS, FAULTS, CONFIGURATIONS, KEEPING = ":stats", ":answers", ":faults", ":configurations", ":keeping"
PARTS_OF_A_PORTAL = ("ACTIVE", "WAITING", "LEASES", "CLAIMS", "STATS", "ANSWERS", "FAULTS", "CONFIGURATIONS", "KEEPING")

#: Behind a schedule's name.
SCHEDULED = ":jobs"

#: Behind a webhook's name.
EVENTS, DUE_EVENTS, SENDING, UNSENT, DELIVERIES = ":events:", ":due", ":sending", ":unsent", ":deliveries"
PARTS_OF_A_WEBHOOK = ("EVENTS", "DUE_EVENTS", "SENDING", "UNSENT", "DELIVERIES")

#: Behind a portal's name as well, for log-ins; no script makes these of the portal's key.
TOKEN, LOGIN, LOGIN_TRIES, LOGIN_REFUSED = ":token", ":login", ":login_tries", ":login_refused:"

#: Likewise, for restores.
RESTORER = ":restorer"


def staging(token: str) -> str:
    """Segments of a list that is not accepted yet."""
    return STAGING + token


def draft(draft_id: str) -> str:
    """A list that waits on the page for a user to confirm it."""
    return staging(f"draft:{draft_id}")


def session(token_hash: str) -> str:
    """Whose session on the page it is."""
    return SESSION + token_hash


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


def verdicts(job_id: str) -> str:
    """What the plan of one job predicts, segment by segment."""
    return job(job_id) + VERDICTS


def exclusions(job_id: str) -> str:
    """What was found after the plan was made to be left alone, segment by segment."""
    return job(job_id) + EXCLUSIONS


def sample(job_id: str) -> str:
    """Some of the contacts that the plan of one job shows to whoever approves it."""
    return job(job_id) + SAMPLE


def receipts(job_id: str) -> str:
    """What the receipts of one job are made with, once it has ended."""
    return job(job_id) + RECEIPTS


def restoring(job_id: str) -> str:
    """What is known of the restore of one job as a whole."""
    return job(job_id) + RESTORING


def restored(job_id: str, segment: int) -> str:
    """What became of the contacts of one segment when they were restored."""
    return f"{job(job_id)}{RESTORED}{segment}"


def kept(job_id: str) -> str:
    """Which contacts of one job have a record in its bundle, segment by segment."""
    return job(job_id) + KEPT


def bundle_objects(job_id: str) -> str:
    """The objects of one job's bundle."""
    return job(job_id) + OBJECTS


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


def keeping(name: str) -> str:
    """The jobs of one portal whose bundles are being made."""
    return portal(name) + KEEPING


def stats(name: str) -> str:
    """What one portal was asked and what came of it, counted since it was first used."""
    return portal(name) + STATS


def answers(name: str) -> str:
    """The last answers of one portal, newest first."""
    return portal(name) + ANSWERS


def webhook(name: str) -> str:
    """What became of the events for one webhook. Lua derives the webhook's other keys from this one."""
    return f"{WEBHOOK}{name}"


def events(name: str, stream: str) -> str:
    """The events of one job or portal that wait for one webhook."""
    return webhook(name) + EVENTS + stream


def due_events(name: str) -> str:
    """The jobs and portals that have events for one webhook."""
    return webhook(name) + DUE_EVENTS


def sending(name: str) -> str:
    """The jobs and portals of which an event is being sent to one webhook."""
    return webhook(name) + SENDING


def unsent(name: str) -> str:
    """The events that wait for one webhook."""
    return webhook(name) + UNSENT


def deliveries(name: str) -> str:
    """The last tries to send something to one webhook, newest first."""
    return webhook(name) + DELIVERIES


def token(name: str) -> str:
    """The encrypted token of one portal."""
    return portal(name) + TOKEN


def login(name: str) -> str:
    """The worker whose turn it is to log in at one portal."""
    return portal(name) + LOGIN


def login_tries(name: str) -> str:
    """The attempts to log in at one portal that have not succeeded."""
    return portal(name) + LOGIN_TRIES


def login_refused(name: str, fingerprint: str) -> str:
    """Why one portal refused the credentials of this fingerprint."""
    return portal(name) + LOGIN_REFUSED + fingerprint


def schedule(name: str) -> str:
    """What is known of one schedule."""
    return SCHEDULE + name


def scheduled(name: str) -> str:
    """The last jobs of one schedule."""
    return schedule(name) + SCHEDULED


def restorer(name: str) -> str:
    """Who restores contacts of one portal."""
    return portal(name) + RESTORER


def known_key(job_id: str) -> str:
    """Return the key of a job's facts, for an ID that comes from outside.

    Raises:
        UnknownJob: there can be no job of this ID.
    """
    if not is_possible(job_id):
        raise UnknownJob(job_id)
    return job(job_id)
