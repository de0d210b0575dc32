"""A job that has deleted contacts of a simulated portal, its bundle, and a restore of it in this process."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pyrage
from arq.connections import ArqRedis
from pyroaring import BitMap

import simulator
from config.settings import Portal
from config.undo import read_recipient
from jobs.bundles.codec import Packer, read_identities
from jobs.bundles.manifest import KeptObject, Manifest
from jobs.bundles.names import manifest_name, object_name
from jobs.bundles.reader import open_bundle, read_records
from jobs.bundles.record import Case, Opportunity, record_line
from jobs.bundles.store import BundleStore
from restore.caller import Caller
from restore.ledger import RestoreLedger
from restore.record import Record, record_of
from restore.report import Row
from restore.restorer import Restorer
from restore.targets import Targets
from simulator.records import record as true_record
from tests.support.lanes import accept, answer, start_lane, take, terms
from tests.support.sweeping import portal_settings
from worker.creating_client import CreatingClient
from worker.fleet import terms_of
from worker.token_store import LocalTokenStore

#: Members of a true record that tell which contact it is, and those that no call can set.
NOT_COMPARED = {"id", "alive", "persons", "company_id"}


async def list_all(portal: simulator.Portal) -> list[dict[str, Any]]:
    """Return every contact as the portal lists it."""
    headers = {"Authorization": portal.behaviour.token}
    found: list[dict[str, Any]] = []
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            query = f"sortBy=id&sortOrder=ascending&count=1000&startIndex={len(found)}"
            async with session.get(f"{portal.url}/api/2.0/crm/contact/filter?{query}") as reply:
                page = msgspec.json.decode(await reply.read())["response"]
            found += page
            if len(page) < 1000:
                return found


async def delete_all(portal: simulator.Portal, ids: Iterable[int]) -> None:
    """Delete contacts as a worker does."""
    headers = {"Authorization": portal.behaviour.token}
    async with aiohttp.ClientSession(headers=headers) as session:
        left = list(ids)
        while left:
            body, left = {"contactids": left[:1000]}, left[1000:]
            async with session.put(f"{portal.url}/api/2.0/crm/contact?fields=id", json=body) as reply:
                assert reply.status == 200


@dataclass
class Deleted:
    """A job that has deleted contacts.

    Attributes:
        truth: what was true of each contact before.
        store: where its bundle is.
        identity: the private key.
    """

    job_id: str
    portal: simulator.Portal
    ids: BitMap
    truth: dict[int, dict[str, Any]]
    store: Path
    identity: str


async def deleted(
    redis: ArqRedis, portal: simulator.Portal, directory: Path, ids: Iterable[int], job_id: str = "gone"
) -> Deleted:
    """Keep the records of contacts in a bundle, delete them, and return the job that did."""
    wanted = BitMap(ids)
    truth = {number: true_record(portal.world, number) for number in wanted}
    identity = pyrage.x25519.Identity.generate()
    packer = Packer()
    taking_part = portal.world.participation
    for item in await list_all(portal):
        if item["id"] in wanted:
            packer.add(
                record_line(
                    msgspec.json.encode(item),
                    [Opportunity(part.opportunity_id, "deal", part.main) for part in taking_part.parts(item["id"])],
                    [Case(number, "case") for number in taking_part.cases_of(item["id"])],
                )
            )
    packer.close()
    sealed = packer.seal([read_recipient(str(identity.to_public()))])
    (directory / "bundles").mkdir(exist_ok=True)
    store = BundleStore.at(str(directory / "bundles"))
    name = object_name(job_id, "b1", 0, sealed.sha256)
    await store.put(name, sealed.data)
    kept = KeptObject(
        name=name,
        segment=0,
        part=0,
        contacts=sealed.contacts,
        stored_bytes=len(sealed.data),
        plain_bytes=sealed.plain_bytes,
        sha256=sealed.sha256,
    )
    manifest = Manifest(
        job=job_id,
        bundle="b1",
        portal="main",
        address=portal_settings(portal).address,
        made_at="2026-11-26T12:00:00.000Z",
        keep_days=30,
        total=len(wanted),
        contacts=sealed.contacts,
        stored_bytes=len(sealed.data),
        objects=(kept,),
    )
    await store.put(manifest_name(job_id, "b1"), manifest.json())
    await delete_all(portal, wanted)
    await accept(redis, wanted, job_id=job_id)
    lane = await start_lane(redis)
    for _ in range(-(-len(wanted) // 1000)):
        await answer(redis, lane, await take(lane, terms(batch_size=1000)))
    await lane.release()
    return Deleted(job_id, portal, wanted, truth, directory / "bundles", str(identity))


@contextlib.asynccontextmanager
async def restoring(
    redis: ArqRedis,
    job: Deleted,
    *,
    only: Iterable[int] | None = None,
    ttl_s: float = 5.0,
    patch: Callable[[Restorer], None] = lambda _restorer: None,
    **limits: Any,
) -> AsyncIterator[Restorer]:
    """Prepare a restore, with short waits, and hold its ledger."""
    settings = settings_of(job, **limits)
    store = BundleStore.at(str(job.store))
    manifest = await open_bundle(store, job.job_id)
    identities = read_identities(job.identity)

    async def records() -> AsyncIterator[Record]:
        for kept in manifest.objects:
            for line in await read_records(store, kept, identities):
                yield record_of(line)

    ledger = RestoreLedger(redis, job.job_id, settings.name, f"token-{id(settings)}", "me@host", ttl_s=ttl_s)

    async def pace() -> None:
        pass

    client = CreatingClient(settings, LocalTokenStore(), pace)
    caller = Caller(
        redis=redis,
        portal=settings,
        terms=terms_of(settings, look_up_size=1),
        client=client,
        may_send=ledger.may_send,
        tell_wait=lambda _wait_s: None,
    )
    targets = await Targets.read(redis, job.job_id, None if only is None else BitMap(only))
    try:
        async with ledger.held():
            restorer = Restorer(job.job_id, caller, ledger, targets, records)
            patch(restorer)
            yield restorer
    finally:
        await client.close()


def settings_of(job: Deleted, **limits: Any) -> Portal:
    return portal_settings(job.portal, **{"late_commit_s": 0.4, "request_timeout_s": 1.0} | limits)


async def restore(redis: ArqRedis, job: Deleted, **how: Any) -> dict[int, Row]:
    """Restore the contacts of a job to the end; return the lines of the report by old ID."""
    async with restoring(redis, job, **how) as restorer:
        await restorer.plan()
        assert await restorer.run(lambda _done: None)
        return {row.old_id: row for row in restorer.rows()}


def differences(job: Deleted, rows: dict[int, Row]) -> dict[int, set[str]]:
    """Return in which members the restored contacts differ from the deleted ones, by old ID."""
    new_ids = {row.old_id: row.new_id for row in rows.values() if row.new_id}
    found = {}
    for old_id, new_id in new_ids.items():
        before, after = job.truth[old_id], true_record(job.portal.world, new_id)
        differ = {name for name in before.keys() - NOT_COMPARED if before[name] != after[name]}
        if new_ids.get(before["company_id"], before["company_id"]) != after["company_id"]:
            differ.add("company_id")
        found[old_id] = differ
    return found


def made_by_calls(portal: simulator.Portal) -> set[int]:
    """Return the contacts that calls have created."""
    return set(portal.truth.creations)
