"""Names of what a bundle consists of. None of them tells anything about a contact.

    JOB/BUNDLE/manifest.json
    JOB/BUNDLE/SEGMENT-HASH.ndjson.zst.age

`BUNDLE` is made anew for every bundle, so that a job ID that is used again never overwrites what an earlier job of that
ID has kept. `HASH` is the beginning of the object's own SHA-256: an object is never written twice, and a worker that
dies before it has recorded one leaves nothing that could be taken for another.
"""

from jobs.words.job_ids import check_job_id

_MANIFEST = "manifest.json"
_SUFFIX = ".ndjson.zst.age"


def folder(job_id: str, bundle_id: str = "") -> str:
    """Return where a bundle is, or without its ID where all bundles of a job are.

    Raises:
        BadSubmission: there can be no job of this ID.
    """
    of_job = f"{check_job_id(job_id)}/"
    return f"{of_job}{bundle_id}/" if bundle_id else of_job


def manifest_name(job_id: str, bundle_id: str) -> str:
    """Return the name of a bundle's manifest."""
    return folder(job_id, bundle_id) + _MANIFEST


def object_name(job_id: str, bundle_id: str, segment: int, sha256: str) -> str:
    """Return the name of an object.

    Args:
        job_id: the job.
        bundle_id: its bundle.
        segment: number of the segment of the job's list whose contacts it holds.
        sha256: of its content, in hexadecimal.
    """
    return f"{folder(job_id, bundle_id)}{segment:05d}-{sha256[:16]}{_SUFFIX}"


def parts_of(name: str) -> tuple[str, str, bool] | None:
    """Return the job ID and the bundle ID in a name, and whether it is a manifest's; None for anything else."""
    parts = name.split("/")
    if len(parts) != 3:
        return None
    job_id, bundle_id, last = parts
    if last != _MANIFEST and not last.endswith(_SUFFIX):
        return None
    return job_id, bundle_id, last == _MANIFEST
