"""Opening a bundle with a private key.

manifest = await open_bundle(store, job_id)
for kept in manifest.objects:
    for record in await read_records(store, kept, identities):
        ...
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence

from jobs.bundles.codec import lines_of
from jobs.bundles.errors import BundleDamaged, NoBundle
from jobs.bundles.manifest import KeptObject, Manifest, read_manifest
from jobs.bundles.names import folder, manifest_name
from jobs.bundles.record import Record, read_line
from jobs.bundles.store import BundleStore


async def open_bundle(
    store: BundleStore, job_id: str, bundle_id: str | None = None, sha256: str | None = None
) -> Manifest:
    """Read a bundle's manifest.

    Args:
        store: where it is.
        job_id: its job.
        bundle_id: which of the job's; None for the newest that is complete. A job in Redis knows its own.
        sha256: of the manifest, as the job in Redis knows it; None to accept whatever is there.

    Raises:
        NoBundle: there is no complete bundle.
        BundleDamaged: the manifest is not what was written, or of a later version.
        StoreTrouble: the store cannot be read.
    """
    if bundle_id is None:
        complete = [one.bundle_id for one in await store.bundles(folder(job_id)) if one.is_complete]
        if not complete:
            raise NoBundle(f"the undo store has no complete bundle of job {job_id}")
        bundle_id = complete[-1]
    data = await store.get(manifest_name(job_id, bundle_id))
    if data is None:
        raise NoBundle(f"the undo store has no complete bundle {bundle_id} of job {job_id}")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise BundleDamaged(f"the manifest of job {job_id} is not the one that was written")
    return read_manifest(data)


async def read_records(store: BundleStore, kept: KeptObject, identities: Sequence[object]) -> Iterator[Record]:
    """Return the records of one object, in ascending order of contact ID.

    It is checked and decrypted as a whole first; its lines are then read one by one.

    Args:
        store: where it is.
        kept: its entry in the manifest.
        identities: private keys, from `read_identities`.

    Raises:
        BadIdentity: it is encrypted to none of these keys; found when the first record is read.
        BundleDamaged: it is missing or not what was written.
        StoreTrouble: the store cannot be read.
    """
    data = await store.get(kept.name)
    if data is None:
        raise BundleDamaged(f"{kept.name} is missing from the undo store")
    if await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()) != kept.sha256:
        raise BundleDamaged(f"{kept.name} is not what was written: its SHA-256 is another one")
    return _records(data, kept, identities)


def _records(data: bytes, kept: KeptObject, identities: Sequence[object]) -> Iterator[Record]:
    count = 0
    for line in lines_of(data, identities):
        try:
            record = read_line(line)
        except ValueError:
            raise BundleDamaged(f"{kept.name} holds a line that is no record") from None
        count += 1
        yield record
    if count != kept.contacts:
        raise BundleDamaged(f"{kept.name} holds {count:,} records instead of {kept.contacts:,}")
