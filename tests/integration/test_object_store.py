"""Bundles in an object store, over a real socket: credentials come from the environment and go nowhere else."""

import pytest

from jobs.bundles.errors import StoreTrouble
from jobs.bundles.names import folder, manifest_name, object_name
from jobs.bundles.store import BundleStore
from tests.support.object_store import BUCKET, bucket

KEY, SECRET = "AKIATESTKEY", "a-secret-that-is-not-told"


def use(patch: pytest.MonkeyPatch, url: str) -> None:
    values = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "REGION": "eu-west-1"}
    for name, value in values.items():
        patch.setenv(f"AWS_{name}", value)


async def test_bundles_are_kept_in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bucket() as there:
        use(monkeypatch, there.url)
        store = BundleStore.at(f"s3://{BUCKET}/crm")
        await store.probe()
        assert there.objects == {}
        await store.put(object_name("job", "01A", 0, "ab" * 32), b"12345")
        await store.put(manifest_name("job", "01A"), b"{}")
        assert sorted(there.objects) == [
            "crm/job/01A/00000-abababababababab.ndjson.zst.age",
            "crm/job/01A/manifest.json",
        ]
        [one] = await store.bundles()
        assert (one.job_id, one.objects, one.bytes, one.is_complete) == ("job", 1, 5, True)
        assert await store.get(manifest_name("job", "01A")) == b"{}"
        assert await store.get(manifest_name("job", "01B")) is None
        await store.delete(await store.names(folder("job")))
        assert there.objects == {}
        assert there.keys_seen == {KEY}


@pytest.mark.parametrize(("status", "told"), [(403, "access is denied"), (400, "refuses")])
async def test_what_a_bucket_says_when_it_refuses_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    async with bucket() as there:
        use(monkeypatch, there.url)
        there.refuses = status
        with pytest.raises(StoreTrouble, match=told) as caught:
            await BundleStore.at(f"s3://{BUCKET}").put("a/b/manifest.json", b"{}")
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_bucket_that_is_away_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(StoreTrouble, match="cannot be reached"):
        await BundleStore.at(f"s3://{BUCKET}").put("a/b/manifest.json", b"{}")
