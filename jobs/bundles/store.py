"""Where bundles are: a directory, or a bucket of an object store.

Credentials of object stores come from the environment, by the names that their own tools use (docs/undo.md). What a
store says when it refuses can quote them, so no such text is passed on: an error says what kind of trouble it is.
"""

import asyncio
import os
import re
import secrets
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, ObjectStore, from_url

from config.portal import Portal
from jobs.bundles.errors import StoreTrouble
from jobs.bundles.names import parts_of

#: How long one request to the store can take, and all its tries.
_REQUEST_S = 30
_ALL_TRIES_S = 60
_MOST_RETRIES = 3

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """What the store holds of one bundle.

    Attributes:
        job_id: its job.
        bundle_id: the bundle.
        objects: how many there are, without the manifest.
        bytes: their size.
        is_complete: whether it has a manifest.
    """

    job_id: str
    bundle_id: str
    objects: int
    bytes: int
    is_complete: bool


class BundleStore:
    """Objects by their names (jobs/bundles/names.py).

    Args:
        store: the store.
        directory: where it is, if it is a directory of this machine.

    Every method raises `StoreTrouble` if the store is away, full, or refuses.
    """

    def __init__(self, store: ObjectStore, directory: Path | None = None) -> None:
        self._store = store
        self._directory = directory

    @classmethod
    def of(cls, portal: Portal) -> "BundleStore":
        """Return the store of a portal's bundles.

        Raises:
            StoreTrouble: the portal has none, or what is configured cannot be used.
        """
        if not portal.undo_store:
            raise StoreTrouble(f"portal {portal.name} has no undo_store")
        return cls.at(portal.undo_store)

    @classmethod
    def at(cls, place: str) -> "BundleStore":
        """Return the store at a directory or URL, as `undo_store` names it.

        A directory that is not there is not made: a disk that is not mounted, or a relative path in a command that was
        started elsewhere, would go unnoticed until somebody wants their contacts back.

        Raises:
            StoreTrouble: it cannot be used.
        """
        if "://" not in place or place.startswith("file://"):
            directory = Path(place.removeprefix("file://")).absolute()
            try:
                if not directory.exists():
                    make = f"mkdir -p -m 700 {shlex.quote(str(directory))}"
                    raise StoreTrouble(
                        f"there is no directory {directory}; make it with `{make}`, or correct undo_store"
                    )
                if not directory.is_dir():
                    raise StoreTrouble(f"the undo store cannot be used: {directory} is not a directory")
                return cls(LocalStore(directory, automatic_cleanup=True), directory)
            except (BaseError, OSError) as error:
                raise StoreTrouble(f"the undo store cannot be used: {_told(error)}") from None
        try:
            store = from_url(
                place,
                client_options={"timeout": timedelta(seconds=_REQUEST_S), "allow_http": True},
                retry_config={"max_retries": _MOST_RETRIES, "retry_timeout": timedelta(seconds=_ALL_TRIES_S)},
            )
        except (BaseError, ValueError, OSError) as error:
            raise StoreTrouble(f"the undo store cannot be used: {_told(error)}") from None
        return cls(store)

    async def put(self, name: str, data: bytes) -> None:
        """Write an object, and see to it that it is really there: what it keeps is about to be deleted elsewhere.

        A name that is taken holds the same content: names of objects are made of their content, and a manifest is
        written again only as it was.
        """

        async def write() -> None:
            await obstore.put_async(self._store, name, data, mode="overwrite", use_multipart=False)
            if self._directory:
                await asyncio.to_thread(_to_disk, self._directory, name)
            size = (await obstore.head_async(self._store, name))["size"]
            if size != len(data):
                raise StoreTrouble(f"the undo store has kept {size:,} of {len(data):,} bytes")

        await self._ask("written", write)

    async def get(self, name: str) -> bytes | None:
        """Read an object; None if there is none."""

        async def read() -> bytes:
            answer = await obstore.get_async(self._store, name)
            return bytes(await answer.bytes_async())

        try:
            return await self._ask("read", read)
        except ObjectMissing:
            return None

    async def names(self, folder: str = "") -> list[str]:
        """Return the names of all objects in a folder, sorted."""
        return sorted(await self.sizes(folder))

    async def sizes(self, folder: str = "") -> dict[str, int]:
        """Return how many bytes each object in a folder has, by its name."""
        return dict(await self._list(folder))

    async def bundles(self, folder: str = "") -> list[StoredBundle]:
        """Return the bundles that are there, complete or not, by job and age.

        Args:
            folder: only those in this folder.
        """
        found: dict[tuple[str, str], StoredBundle] = {}
        for name, size in await self._list(folder):
            parts = parts_of(name)
            if parts is None:
                continue
            job_id, bundle_id, is_manifest = parts
            one = found.get((job_id, bundle_id), StoredBundle(job_id, bundle_id, 0, 0, is_complete=False))
            found[job_id, bundle_id] = StoredBundle(
                job_id,
                bundle_id,
                one.objects + (not is_manifest),
                one.bytes + (0 if is_manifest else size),
                one.is_complete or is_manifest,
            )
        return [found[key] for key in sorted(found)]

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter."""

        async def remove() -> None:
            for name in names:
                try:
                    await obstore.delete_async(self._store, name)
                except (NotFoundError, FileNotFoundError):
                    continue

        await self._ask("emptied", remove)

    async def probe(self) -> None:
        """Write a small object, read it back and remove it.

        Raises:
            StoreTrouble: one of these does not work, and so no bundle could be made, restored or destroyed.
        """
        name, data = f"probe-{secrets.token_hex(8)}", secrets.token_bytes(32)
        await self.put(name, data)
        if await self.get(name) != data:
            raise StoreTrouble("the undo store does not give back what was written")
        await self.delete([name])

    async def _list(self, folder: str) -> list[tuple[str, int]]:
        async def read() -> list[tuple[str, int]]:
            listed = await obstore.list(self._store, folder or None).collect_async()
            return [(one["path"], one["size"]) for one in listed]

        return await self._ask("listed", read)

    @staticmethod
    async def _ask(deed: str, request: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(_ALL_TRIES_S + _REQUEST_S):
                return await request()
        except (NotFoundError, FileNotFoundError):
            raise ObjectMissing(
                f"the undo store cannot be {deed}: there is no such object, bucket or directory"
            ) from None
        except (BaseError, OSError, TimeoutError) as error:
            raise StoreTrouble(f"the undo store cannot be {deed}: {_told(error)}") from None


class ObjectMissing(StoreTrouble):
    """There is no such object."""


def _told(error: Exception) -> str:
    """Say what kind of trouble it is, without any text of the store's."""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return "access is denied"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, AlreadyExistsError | FileExistsError):
        return "something else has that name"
    number = error.errno if isinstance(error, OSError) else None
    found = _OS_ERROR.search(str(error))
    if number is None and found:
        number = int(found[1])
    if number is not None:
        return os.strerror(number).lower()
    text = str(error)
    if "error sending request" in text or "timed out" in text or "connect" in text:
        return "it cannot be reached"
    return "it refuses, or is not configured rightly"


def _to_disk(directory: Path, name: str) -> None:
    """Have a file, and the folders that it is in, written to the disk."""
    path = directory / name
    for one in (path, *path.parents):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if one == directory:
            break
