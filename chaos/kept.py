"""The portal's record of every PUT against the bundles: nothing may be sent whose record cannot be restored."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pyrage
from pyroaring import BitMap

from chaos.evidence import Attempt
from chaos.guarded import Guarded
from chaos.verdict import Verdict
from jobs.bundles.codec import read_identities
from jobs.bundles.reader import open_bundle, read_records
from jobs.bundles.store import BundleStore


class Keys:
    """A key pair: workers get the public key alone."""

    def __init__(self) -> None:
        identity = pyrage.x25519.Identity.generate()
        self.public = str(identity.to_public())
        self.identities = read_identities(str(identity))


async def records_in(place: Path, keys: Keys) -> tuple[dict[str, BitMap], list[str]]:
    """Open every complete bundle in a store.

    Args:
        place: the store's directory.
        keys: the key pair.

    Returns:
        The contacts with a record, by job, and what is wrong.
    """
    store = BundleStore.at(str(place))
    found: dict[str, BitMap] = {}
    problems = []
    for bundle in await store.bundles():
        if not bundle.is_complete:
            continue
        manifest = await open_bundle(store, bundle.job_id, bundle.bundle_id)
        ids = [
            record.contact["id"]
            for kept in manifest.objects
            for record in await read_records(store, kept, keys.identities)
        ]
        if ids != sorted(set(ids)) or len(ids) != manifest.contacts:
            problems.append(f"the bundle of job {bundle.job_id} has contacts twice, or not all that it counts")
        found[bundle.job_id] = found.get(bundle.job_id, BitMap()) | BitMap(ids)
    return found, problems


def judge_records(
    verdict: Verdict, puts: Sequence[Attempt], guarded: Guarded, kept: BitMap, keeping: Collection[str]
) -> None:
    """Add to a verdict what was sent although no bundle has its record.

    Args:
        verdict: gets what is wrong, and how much was looked at.
        puts: every PUT that arrived at the portal.
        guarded: knows through which portal's name a PUT came.
        kept: contacts with a record in a bundle that could be opened.
        keeping: names of the portals that keep records.
    """
    unkept = BitMap()
    for put in puts:
        if guarded.portal_of(put) in keeping:
            unkept |= put.asked - kept
    verdict.refuse("sent, although no bundle has its record", unkept)
    verdict.counts["records kept"] += len(kept)
