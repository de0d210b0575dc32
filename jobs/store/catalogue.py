"""The catalogue of everything that this program keeps in Redis, and who writes it.

`{id}` is a job's ID, `{name}` a portal's, `{n}` the number of a segment. Times are on the Redis server's clock; until
when something lasts and when it is due, on the steady clock (jobs/store/clock.py). Nothing here holds a credential in
the clear. What is said of writers is watched: tests/integration/test_who_writes.py compares it with what the server is
told.
"""

import re
from dataclasses import dataclass

from arq.constants import (
    abort_jobs_ss,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)

from jobs.store import keys

ARQ = "arq"


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of key.

    Attributes:
        pattern: the key; what stands in braces differs.
        type: Redis's name for what it holds.
        member: what a member of it looks like.
        scripts: names of the scripts that write it.
        modules: the Python modules that write it without a script; `arq` is the library.
        lives: how long it lives.
    """

    pattern: str
    type: str
    member: str
    scripts: tuple[str, ...]
    modules: tuple[str, ...]
    lives: str

    def matches(self, key: str) -> bool:
        """Check whether a key is of this kind."""
        # Names of ours hold no colon; arq's job IDs do.
        any_text = ".+" if self.pattern.startswith("arq:") else "[^:]+"
        parts = re.split(r"\{\w+\}", self.pattern)
        return re.fullmatch(any_text.join(map(re.escape, parts)), key) is not None


_JOB, _PORTAL = "{id}", "{name}"

#: The scripts that put events into the outbox of webhooks.
_TELLING = ("control", "create_job", "next_batch", "reject_job", "rescue", "settle")

CATALOGUE = (
    Entry(
        keys.QUEUE,
        "ZSET",
        "arq's queue: arq job ID → due time (ms)",
        ("try_write", "wake"),
        (ARQ, "jobs.arq_messages.message", "worker.main"),
        "until run",
    ),
    Entry(
        keys.FORMAT,
        "STRING",
        "`1`, the format of what is kept here (jobs/store/format_number.py)",
        (),
        ("jobs.store.format_number",),
        "for good",
    ),
    Entry(
        keys.JOBS,
        "ZSET",
        "`01JD…` → created (ms)",
        ("create_job", "forget", "reject_job", "try_write"),
        (),
        "retention",
    ),
    Entry(
        keys.jobs_in("{state}"),
        "ZSET",
        "`01JD…` → created (ms)",
        (
            "control",
            "create_job",
            "forget",
            "index_jobs",
            "next_batch",
            "reject_job",
            "rescue",
            "retry_failed",
            "settle",
        ),
        (),
        "retention",
    ),
    Entry(
        keys.JOBS_INDEXED, "STRING", "each job is in the list of its state", (), ("jobs.store.job_lists",), "for good"
    ),
    Entry(
        keys.FINISHED,
        "ZSET",
        "`01JD…` → when it ended (ms)",
        ("control", "create_job", "forget", "reject_job", "retry_failed", "settle"),
        (),
        "retention",
    ),
    Entry(
        keys.CLOCK,
        "HASH",
        "the steady clock: steady_us, wall_us (jobs/store/clock.py)",
        ("acquire", "lapses", "leave", "next_batch", "pace", "renew", "restore_hold", "tick"),
        (),
        "for good",
    ),
    Entry(keys.LIFELINES, "HASH", "group of workers → when its lifeline ran last (µs)", ("lapses",), (), "for good"),
    Entry(keys.WORKERS, "ZSET", "`host:pid:…` → alive until (ms)", ("beat", "leave"), (), "3 heartbeats"),
    Entry(
        keys.KNOWN_PORTALS,
        "ZSET",
        "portal of a worker alive → until (ms)",
        ("beat",),
        (),
        "3 heartbeats",
    ),
    Entry(
        keys.BUNDLES,
        "ZSET",
        "`main/01JD…/01JE…`, a bundle → when it is looked at next (ms)",
        ("settle",),
        ("jobs.bundles.expiry",),
        "until destroyed",
    ),
    Entry(keys.STOPPED, "HASH", "portal, or `*` for all → who stopped it and when", ("switch",), (), "until started"),
    Entry(
        keys.staging("{token}"),
        "HASH",
        "a list on its way in: the segments of a job to be",
        ("create_job", "try_write"),
        ("jobs.accept.staged", "jobs.accept.submit", "jobs.store.try_write"),
        "1 hour",
    ),
    Entry(
        keys.draft("{token}"),
        "HASH",
        "a list on the page before its confirmation, likewise",
        (),
        ("web.page.drafts",),
        "1 hour",
    ),
    Entry(keys.session("{hash}"), "STRING", "whose session on the page it is", (), ("web.page.session",), "12 hours"),
    Entry(
        keys.schedule(_PORTAL),
        "HASH",
        "of a schedule: seen_ms, skipped, `claim:{id}`, …",
        ("claim_schedule", "see_schedule"),
        ("jobs.schedules.memory",),
        "for good",
    ),
    Entry(keys.scheduled(_PORTAL), "LIST", "its last jobs, newest first", ("claim_schedule",), (), "for good"),
    Entry(
        keys.job(_JOB),
        "HASH",
        "state, n:deleted, cursor, …",
        (
            "control",
            "create_job",
            "destroy_bundle",
            "forget",
            "know_end",
            "next_batch",
            "reject_job",
            "rescue",
            "retry_failed",
            "set_priority",
            "settle",
            "try_write",
        ),
        (),
        "retention",
    ),
    Entry(
        keys.segments(_JOB),
        "HASH",
        "`0` → roaring set of 65,536 contact IDs",
        ("create_job", "forget", "settle", "try_write"),
        (),
        "retention",
    ),
    Entry(
        keys.job(_JOB) + keys.LEDGER + "{n}",
        "LIST",
        "binary (jobs/ledger/records.py)",
        ("forget", "retry_failed", "settle"),
        (),
        "retention",
    ),
    Entry(
        keys.items(_JOB),
        "HASH",
        "`7:200` → binary (jobs/ledger/items.py)",
        ("forget", "next_batch", "rescue", "retry_failed", "settle"),
        (),
        "until settled",
    ),
    Entry(
        keys.verdicts(_JOB),
        "HASH",
        "`0` → verdicts of a segment, compressed (jobs/plan/verdicts.py)",
        ("forget", "settle"),
        (),
        "retention",
    ),
    Entry(
        keys.exclusions(_JOB),
        "HASH",
        "`0` → what is left alone since the plan was made, likewise",
        ("forget", "settle"),
        (),
        "retention",
    ),
    Entry(
        keys.kept(_JOB),
        "HASH",
        "`0` → which contacts of a segment have a record in the bundle, likewise",
        ("destroy_bundle", "forget", "settle"),
        (),
        "until destroyed",
    ),
    Entry(
        keys.bundle_objects(_JOB),
        "HASH",
        "`0` → an object of the bundle: name, size, SHA-256 (jobs/bundles/manifest.py)",
        ("destroy_bundle", "forget", "settle"),
        (),
        "until destroyed",
    ),
    Entry(
        keys.sample(_JOB),
        "STRING",
        "some contacts of a plan, with names, JSON",
        ("control", "create_job", "forget", "settle"),
        (),
        "until approved",
    ),
    Entry(
        keys.receipts(_JOB),
        "HASH",
        "seed of the salts; roots of the segments, 32 bytes each; of which ledger",
        ("forget", "keep_receipt"),
        (),
        "retention, or until retried",
    ),
    Entry(
        keys.restoring(_JOB),
        "HASH",
        "its restore: watermark, sent_ms, created, …; `twin:7` → a contact that may be there twice",
        ("forget", "restore_hold", "restore_write"),
        (),
        "retention",
    ),
    Entry(
        keys.job(_JOB) + keys.RESTORED + "{n}",
        "STRING",
        "what was restored of a segment, binary (restore/entry.py)",
        ("forget", "restore_write"),
        (),
        "retention",
    ),
    Entry(keys.history(_JOB), "LIST", "`1763900000000 41000 5 200`", ("forget", "settle"), (), "retention"),
    Entry(
        keys.due_put(_JOB),
        "ZSET",
        "`7:200` → not before (ms)",
        ("next_batch", "retry_failed", "settle"),
        (),
        "until taken",
    ),
    Entry(
        keys.due_look_up(_JOB), "ZSET", "`9:3` → not before (ms)", ("next_batch", "rescue", "settle"), (), "until taken"
    ),
    Entry(
        keys.portal(_PORTAL),
        "HASH",
        "tat_us, push_back_until_ms, set_rate, …",
        ("bound_rest", "control", "create_job", "next_batch", "pace", "set_limits", "settle", "spare", "switch"),
        (),
        "for good",
    ),
    Entry(
        keys.active(_PORTAL),
        "ZSET",
        "job ID → its turn",
        (
            "control",
            "create_job",
            "next_batch",
            "rescue",
            "retry_failed",
            "set_limits",
            "set_priority",
            "settle",
            "switch",
            "try_write",
        ),
        (),
        "while it has work",
    ),
    Entry(
        keys.waiting(_PORTAL),
        "ZSET",
        "job ID → when its next work is due (ms)",
        (
            "control",
            "create_job",
            "next_batch",
            "rescue",
            "retry_failed",
            "set_limits",
            "settle",
            "switch",
            "try_write",
        ),
        (),
        "while it waits",
    ),
    Entry(
        keys.leases(_PORTAL),
        "ZSET",
        "lane token → lapses at (ms)",
        ("acquire", "lapses", "next_batch", "renew", "rescue"),
        ("jobs.lanes.lease",),
        "lease TTL",
    ),
    Entry(
        keys.claims(_PORTAL),
        "HASH",
        "`token/0` → its batch (msgpack)",
        ("next_batch", "rescue", "settle"),
        (),
        "one batch",
    ),
    Entry(
        keys.keeping(_PORTAL),
        "ZSET",
        "job whose bundle is being made → until when it counts (ms)",
        ("next_batch", "settle"),
        (),
        "while it is made",
    ),
    Entry(
        keys.stats(_PORTAL),
        "HASH",
        "`calls:put:ok` → how many, ever (jobs/view/stats.py)",
        ("control", "create_job", "settle", "spare"),
        (),
        "for good",
    ),
    Entry(keys.answers(_PORTAL), "LIST", "one of the last 20 answers, JSON", ("settle",), (), "for good"),
    Entry(
        keys.faults(_PORTAL),
        "HASH",
        "configuration → its fault (jobs/store/faults.py)",
        ("control", "create_job", "settle"),
        (),
        "20 minutes",
    ),
    Entry(
        keys.configurations(_PORTAL),
        "ZSET",
        "`fingerprint/worker` → until (ms)",
        ("beat", "leave"),
        (),
        "3 heartbeats",
    ),
    Entry(
        keys.restorer(_PORTAL),
        "HASH",
        "who restores contacts of which job, and until when",
        ("restore_hold", "restore_leave"),
        (),
        "while it restores",
    ),
    Entry(
        keys.token(_PORTAL),
        "STRING",
        "encrypted log-in token",
        ("compare_and_delete",),
        ("worker.token_store",),
        "as the portal says",
    ),
    Entry(
        keys.login(_PORTAL),
        "STRING",
        "the worker that is logging in",
        ("compare_and_delete", "compare_and_expire"),
        ("worker.token_store",),
        "8 seconds",
    ),
    Entry(
        keys.login_tries(_PORTAL),
        "ZSET",
        "attempt that has not succeeded → when (ms)",
        ("count_login_attempt",),
        ("worker.token_store",),
        "1 hour",
    ),
    Entry(
        keys.login_refused(_PORTAL, "{fingerprint}"),
        "STRING",
        "why these credentials were refused",
        (),
        ("worker.token_store",),
        "the cool-down",
    ),
    Entry(keys.WEBHOOKS, "HASH", "webhook → until when, and what it wants, JSON", ("announce_webhooks",), (), "1 day"),
    Entry(
        keys.REPLICATED,
        "STRING",
        "how often replicas were waited for",
        (),
        ("jobs.store.replication",),
        "for good",
    ),
    Entry(
        keys.REPLICATED_UNTIL,
        "STRING",
        "until when (Unix ms) replicas certainly have everything; only with `redis.min_replicas`",
        (),
        ("jobs.view.ended",),
        "for good",
    ),
    Entry(keys.EVENTS_TOLD, "STRING", "how many events there have been, for their IDs", _TELLING, (), "for good"),
    Entry(
        keys.webhook("{webhook}"),
        "HASH",
        "delivered, given_up, tries of a job's first event, …",
        ("announce_webhooks", "claim_events", *_TELLING, "settle_event"),
        (),
        "1 day after its removal",
    ),
    Entry(
        keys.events("{webhook}", "{stream}"),
        "LIST",
        "events of a job or portal that wait, oldest first, JSON",
        ("announce_webhooks", *_TELLING, "settle_event"),
        (),
        "until delivered, a day",
    ),
    Entry(
        keys.due_events("{webhook}"),
        "ZSET",
        "job or portal → when its first event is sent (ms)",
        ("announce_webhooks", "claim_events", *_TELLING, "settle_event"),
        (),
        "until delivered, a day",
    ),
    Entry(
        keys.sending("{webhook}"),
        "ZSET",
        "job or portal of an event being sent → until (ms)",
        ("announce_webhooks", "claim_events", "settle_event"),
        (),
        "30 seconds",
    ),
    Entry(
        keys.unsent("{webhook}"),
        "ZSET",
        "ID of an event that waits → when it happened (ms)",
        ("announce_webhooks", *_TELLING, "settle_event"),
        (),
        "until delivered, a day",
    ),
    Entry(
        keys.deliveries("{webhook}"),
        "LIST",
        "one of the last 20 tries, JSON (jobs/webhooks/outbox.py)",
        ("announce_webhooks", "settle_event"),
        (),
        "1 day after its removal",
    ),
    Entry(
        job_key_prefix + "{id}",
        "STRING",
        "a message of arq: a wake-up, or a request of another service",
        ("try_write", "wake"),
        (ARQ, "jobs.arq_messages.message"),
        "until run",
    ),
    Entry(
        in_progress_key_prefix + "{id}",
        "STRING",
        "arq's mark of a message in work",
        (),
        (ARQ, "jobs.arq_messages.message", "worker.functions", "worker.polling"),
        "10 s, renewed while it runs",
    ),
    Entry(
        retry_key_prefix + "{id}",
        "STRING",
        "how often arq has tried a message",
        (),
        (ARQ, "jobs.arq_messages.message"),
        "until run",
    ),
    Entry(
        result_key_prefix + "{id}",
        "STRING",
        "arq's answer to the sender of a request",
        (),
        (ARQ, "jobs.arq_messages.message"),
        "1 day",
    ),
    Entry(abort_jobs_ss, "ZSET", "what arq is to abort; nothing ever is", (), (ARQ,), "always empty"),
    Entry(keys.QUEUE + health_check_key_suffix, "STRING", "arq's word that a worker is alive", (), (ARQ,), "1 hour"),
)
"""All of it, the program's own keys before arq's."""
