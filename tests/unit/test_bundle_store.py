"""The store of bundles: a directory, a bucket, and one that fails."""

import asyncio
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError
from obstore.store import MemoryStore

from jobs.bundles.errors import BundleDamaged, NoBundle, StoreTrouble
from jobs.bundles.manifest import KeptObject, Manifest, read_manifest
from jobs.bundles.names import folder, manifest_name, object_name, parts_of
from jobs.bundles.reader import open_bundle
from jobs.bundles.record import record_line
from jobs.bundles.store import BundleStore, StoredBundle
from jobs.words.errors import BadSubmission
from tests.support.bundles import records_in, sealed


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BundleStore:
    return BundleStore.at(str(tmp_path)) if request.param == "directory" else BundleStore(MemoryStore())


async def written(store: BundleStore, job_id: str, bundle_id: str, ids: list[int]) -> Manifest:
    """Write a bundle of one object."""
    one = sealed([record_line(b'{"id": %d}' % contact_id) for contact_id in ids])
    kept = KeptObject(
        name=object_name(job_id, bundle_id, 0, one.sha256),
        segment=0,
        part=0,
        contacts=one.contacts,
        stored_bytes=len(one.data),
        plain_bytes=one.plain_bytes,
        sha256=one.sha256,
    )
    manifest = Manifest(
        job=job_id,
        bundle=bundle_id,
        portal="main",
        address="ab12",
        made_at="2026-11-26T12:00:00.000Z",
        keep_days=30.0,
        total=len(ids),
        contacts=one.contacts,
        stored_bytes=len(one.data),
        objects=(kept,),
    )
    await store.put(kept.name, one.data)
    await store.put(manifest_name(job_id, bundle_id), manifest.json())
    return manifest


async def test_a_bundle_is_read_back(store: BundleStore) -> None:
    made = await written(store, "a.b", "01A", [3, 7])
    manifest, records = await records_in(store, "a.b")
    assert manifest == made
    assert [record.contact["id"] for record in records] == [3, 7]


async def test_of_several_bundles_of_a_job_the_newest_complete_one_counts(store: BundleStore) -> None:
    await written(store, "a", "01A", [1])
    await written(store, "a", "01B", [2])
    await store.put(object_name("a", "01C", 0, "f" * 64), b"not finished")
    assert (await open_bundle(store, "a")).bundle == "01B"
    assert (await open_bundle(store, "a", "01A")).bundle == "01A"
    with pytest.raises(NoBundle):
        await open_bundle(store, "a", "01C")
    with pytest.raises(NoBundle):
        await open_bundle(store, "ab")


async def test_bundles_are_listed_by_job(store: BundleStore) -> None:
    one = await written(store, "a", "01A", [1])
    await written(store, "ab", "01A", [1])
    await store.put(object_name("a", "01C", 0, "f" * 64), b"12345")
    await store.put("something-else", b"1")
    found = await store.bundles(folder("a"))
    assert found == [
        StoredBundle("a", "01A", 1, one.stored_bytes, is_complete=True),
        StoredBundle("a", "01C", 1, 5, is_complete=False),
    ]
    assert [(each.job_id, each.bundle_id) for each in await store.bundles()] == [
        ("a", "01A"),
        ("a", "01C"),
        ("ab", "01A"),
    ]


async def test_what_is_destroyed_is_gone_and_destroying_twice_does_no_harm(store: BundleStore) -> None:
    await written(store, "a", "01A", [1])
    await written(store, "b", "01A", [1])
    names = await store.names(folder("a"))
    assert len(names) == 2
    await store.delete(names)
    await store.delete(names)
    assert {each.job_id for each in await store.bundles()} == {"b"}
    assert await store.get(names[0]) is None


async def test_a_changed_object_or_manifest_is_noticed(store: BundleStore) -> None:
    made = await written(store, "a", "01A", [1])
    other = sealed([record_line(b'{"id": 2}')])
    await store.put(made.objects[0].name, other.data)
    with pytest.raises(BundleDamaged, match="SHA-256"):
        await records_in(store, "a")
    with pytest.raises(BundleDamaged, match="not the one that was written"):
        await open_bundle(store, "a", "01A", "0" * 64)
    await store.delete([made.objects[0].name])
    with pytest.raises(BundleDamaged, match="missing"):
        await records_in(store, "a")


async def test_a_count_that_does_not_agree_is_noticed(store: BundleStore) -> None:
    made = await written(store, "a", "01A", [1, 2])
    text = made.json().replace(b'"contacts": 2', b'"contacts": 3')
    await store.put(manifest_name("a", "01A"), text)
    with pytest.raises(BundleDamaged, match="2 records instead of 3"):
        await records_in(store, "a")


async def test_a_probe_leaves_nothing_behind(store: BundleStore) -> None:
    await store.probe()
    assert await store.names() == []


def test_nothing_empty_stays_in_a_directory_and_it_stays_itself(tmp_path: Path) -> None:
    store = BundleStore.at(str(tmp_path))

    async def come_and_go() -> None:
        await written(store, "a", "01A", [1])
        await store.delete(await store.names())

    asyncio.run(come_and_go())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"format": 2}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BundleDamaged):
        read_manifest(data)


def test_names_say_where_they_belong_and_nothing_else_does() -> None:
    assert parts_of(manifest_name("j.1", "01A")) == ("j.1", "01A", True)
    assert parts_of(object_name("j.1", "01A", 3, "ab" * 32)) == ("j.1", "01A", False)
    for other in ("", "manifest.json", "a/manifest.json", "a/b/c/manifest.json", "a/b/notes.txt"):
        assert parts_of(other) is None
    with pytest.raises(BadSubmission):
        folder("../secrets")


class Refusing:
    """A store that answers everything with one error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def refuse(self, *_: Any, **__: Any) -> Any:
        raise self.error


SECRET = "AKIASECRET"
ERRORS: list[tuple[Exception, str]] = [
    (PermissionDeniedError(f"<AWSAccessKeyId>{SECRET}</AWSAccessKeyId>"), "access is denied"),
    (GenericError(f"Generic S3 error: error sending request for https://{SECRET}.example"), "cannot be reached"),
    (GenericError(f"Generic LocalFileSystem error: {SECRET}: No space left on device (os error 28)"), "no space left"),
    (GenericError(f"whatever {SECRET}"), "refuses"),
    (TimeoutError(), "does not answer"),
]


@pytest.mark.parametrize(("error", "told"), ERRORS, ids=[told for _, told in ERRORS])
async def test_trouble_is_told_without_anything_that_the_store_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    refusing = Refusing(error)
    for name in ("put_async", "get_async", "delete_async"):
        monkeypatch.setattr(f"obstore.{name}", refusing.refuse)
    store = BundleStore(MemoryStore())
    deeds: list[Callable[[], Any]] = [lambda: store.put("a", b"1"), lambda: store.get("a"), lambda: store.delete(["a"])]
    for deed in deeds:
        with pytest.raises(StoreTrouble, match=told) as caught:
            await deed()
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where a directory is needed")
    with pytest.raises(StoreTrouble, match="the undo store cannot be written: not a directory"):
        asyncio.run(BundleStore.at(str(tmp_path)).put("a/b/manifest.json", b"1"))


def test_a_directory_that_is_not_there_is_not_made_and_the_command_that_makes_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make = f"mkdir -p -m 700 '{tmp_path / 'the undo'}'"
    for place in (str(tmp_path / "the undo"), "the undo", f"file://{tmp_path / 'the undo'}"):
        with pytest.raises(StoreTrouble) as caught:
            BundleStore.at(place)
        assert str(caught.value) == (
            f"there is no directory {tmp_path / 'the undo'}; make it with `{make}`, or correct undo_store"
        )
    assert list(tmp_path.iterdir()) == []
    subprocess.run(shlex.split(make), check=True)
    asyncio.run(BundleStore.at("the undo").probe())
    assert (tmp_path / "the undo").stat().st_mode & 0o777 == 0o700


def test_a_place_that_is_no_directory_says_so(tmp_path: Path) -> None:
    (tmp_path / "undo").write_text("a file")
    with pytest.raises(StoreTrouble, match="cannot be used"):
        BundleStore.at(str(tmp_path / "undo"))
