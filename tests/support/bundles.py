"""Keys, objects and stores of bundles, as tests need them."""

import pyrage

from config.undo import read_recipient
from jobs.bundles.codec import Packer, Sealed, lines_of, read_identities
from jobs.bundles.manifest import Manifest
from jobs.bundles.reader import open_bundle, read_records
from jobs.bundles.record import Record
from jobs.bundles.store import BundleStore

_KEY = pyrage.x25519.Identity.generate()

KEY_FILE = f"# created: today\n{_KEY}\n"
"""What is in the file of a private key."""
PUBLIC_KEY = str(_KEY.to_public())
RECIPIENTS = [read_recipient(PUBLIC_KEY)]
IDENTITIES = read_identities(KEY_FILE)


def sealed(lines: list[bytes]) -> Sealed:
    """Return an object of these lines."""
    packer = Packer()
    for line in lines:
        packer.add(line)
    packer.close()
    return packer.seal(RECIPIENTS)


def lines_in(data: bytes) -> list[bytes]:
    """Return the lines of an object."""
    return list(lines_of(data, IDENTITIES))


async def records_in(store: BundleStore, job_id: str) -> tuple[Manifest, list[Record]]:
    """Return the manifest of a job's bundle, and all of its records."""
    manifest = await open_bundle(store, job_id)
    records = [record for kept in manifest.objects for record in await read_records(store, kept, IDENTITIES)]
    return manifest, records
