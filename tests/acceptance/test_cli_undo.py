"""Undo on the command line: bundles are made, listed, opened with age and zstd alone, and destroyed."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from tests.support.bundles import KEY_FILE, PUBLIC_KEY
from tests.support.home import Home
from tests.support.portal_process import Portal

MakePortal = Callable[..., Portal]


def undo(home: Home, mode: str) -> dict[str, object]:
    (home.directory / "undo").mkdir(exist_ok=True)
    return {"undo": mode, "undo_store": str(home.directory / "undo"), "undo_recipients": [PUBLIC_KEY]}


def opened(home: Home, store: Path) -> list[dict[str, Any]]:
    """Decrypt every object in a store with the commands that docs/undo.md names."""
    key = home.directory / home.write("undo-key.txt", KEY_FILE)
    records = []
    for name in sorted(store.rglob("*.ndjson.zst.age")):
        decrypt = ["age", "--decrypt", "-i", str(key), str(name)]
        packed = subprocess.run(decrypt, capture_output=True, check=True, timeout=30).stdout
        decompress = ["zstd", "--decompress"]
        text = subprocess.run(decompress, input=packed, capture_output=True, check=True, timeout=30).stdout
        records += [json.loads(line) for line in text.splitlines()]
    return records


def test_run_keeps_records_that_age_and_zstd_open(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, **undo(home, "optional")})
    home.ids(*range(1, 31))
    before = home.cli("select", "--portal", "main", "--everything", "-o", "all.csv")
    assert before.code == 0, before.stderr
    done = home.cli("run", "ids.txt", "--portal", "main", "--undo", "--json")
    assert done.code == 0, done.stderr
    job = json.loads(done.stdout)
    assert crm.contacts("deleted") == BitMap(range(1, 31))
    assert (job["bundle"]["state"], job["bundle"]["contacts"]) == ("kept", 30)
    records = opened(home, home.directory / "undo")
    assert [record["contact"]["id"] for record in records] == list(range(1, 31))
    names = {int(line.split(",")[0]): line for line in (home.directory / "all.csv").read_text().splitlines()[1:]}
    assert all(record["contact"]["displayName"] in names[record["contact"]["id"]] for record in records)
    assert (
        "displayName" not in (home.directory / "undo" / job["id"] / job["bundle"]["id"] / "manifest.json").read_text()
    )
    listed = home.cli("bundle", "ls", "--state-dir", ".crm-sweep", "--json")
    assert [row["job"] for row in json.loads(listed.stdout)["bundles"]] == [job["id"]]


def test_the_restore_that_a_run_names_works_as_it_stands(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, **undo(home, "required")})
    home.write("undo-key.txt", KEY_FILE)
    command = ("run", home.ids(1, 2, 3), "--portal", "main", "--state-dir", "my state?")
    done = home.cli(*command)
    assert done.code == 0, done.stderr
    told, job_id = done.stdout, done.stdout.split()[1]
    shown = home.cli("bundle", "show", job_id, "--state-dir", "my state?").stdout
    [named] = {re.findall(r"`crm-sweep (restore .*KEYFILE.*)` restores them", said)[0] for said in (told, shown)}
    words = [word.replace("KEYFILE", "undo-key.txt") for word in shlex.split(named)]
    elsewhere = home.cli(*words[: words.index("--state-dir")])
    assert (elsewhere.code, "name it with --state-dir, such as --state-dir .crm-sweep" in elsewhere.stderr) == (4, True)
    done = home.cli(*words)
    assert done.code == 0, done.stderr
    assert "every deleted contact is restored" in home.cli(*command).stdout


def test_a_run_does_not_begin_without_the_directory_of_its_store(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 10)
    settings = {"url": crm.url, **undo(home, "required")}
    home.configure(main=settings)
    (home.directory / "undo").rmdir()
    refused = home.cli("run", home.ids(1, 2, 3), "--portal", "main")
    assert refused.code == 5
    assert f"make it with `mkdir -p -m 700 {home.directory / 'undo'}`" in refused.stderr
    assert not (home.directory / "undo").exists()
    checked = home.cli("check")
    assert (checked.code, "make it with `mkdir" in checked.stdout) == (5, True)
    assert crm.contacts("deleted") == BitMap()
    (home.directory / "undo").mkdir()
    assert home.cli("run", "ids.txt", "--portal", "main").code == 0
    home.configure(main=settings | {"undo_store": "undo"})
    relative = home.cli("check")
    assert "undo_store is a relative path" in relative.stdout


def test_what_the_portal_forbids_is_refused_and_nothing_is_queued(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 10)
    home.configure(off={"url": crm.url}, strict={"url": crm.url, **undo(home, "required")})
    home.ids(1, 2, 3)
    for command in (["submit", "ids.txt"], ["plan", "ids.txt"], ["run", "ids.txt", "--yes"]):
        refused = home.cli(*command, "--portal", "off", "--undo")
        assert (refused.code, "docs/undo.md" in refused.stderr) == (2, True), refused.stderr
        refused = home.cli(*command, "--portal", "strict", "--no-undo")
        assert (refused.code, "leave out --no-undo" in refused.stderr) == (2, True), refused.stderr
    assert json.loads(home.cli("list", "--json").stdout)["jobs"] == []


def test_bundles_are_listed_shown_and_destroyed(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, **undo(home, "required")})
    home.start("worker")
    job_id = home.submit("main", *range(1, 21))
    assert home.cli("watch", job_id).code == 0
    [row] = json.loads(home.cli("bundle", "ls", "--json").stdout)["bundles"]
    assert (row["job"], row["state"], row["contacts"], row["portal"]) == (job_id, "kept", 20, "main")
    manifest = json.loads(home.cli("bundle", "show", job_id, "--json").stdout)["manifest"]
    assert sum(kept["contacts"] for kept in manifest["objects"]) == 20
    asked = home.cli("bundle", "destroy", job_id)
    assert (asked.code, "--yes is needed" in asked.stderr) == (2, True)
    assert home.cli("bundle", "destroy", job_id, "--yes").code == 0
    assert home.job(job_id)["bundle"]["state"] == "destroyed"
    assert "what was kept was destroyed at " in home.cli("status", job_id).stdout
    home.write("undo-key.txt", KEY_FILE)
    for command in (("bundle", "show", job_id), ("restore", job_id, "--identity", "undo-key.txt")):
        missing = home.cli(*command)
        assert (missing.code, f"the bundle of job {job_id} was destroyed at " in missing.stderr) == (4, True)


def test_bundles_of_jobs_that_redis_does_not_know_are_listed_and_destroyed(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 100)
    home.configure(main={"url": crm.url, **undo(home, "required")})
    home.ids(*range(1, 11))
    job = json.loads(home.cli("run", "ids.txt", "--portal", "main", "--json").stdout)
    [row] = json.loads(home.cli("bundle", "ls", "--json").stdout)["bundles"]
    assert (row["job"], row["state"], row["contacts"]) == (job["id"], "unknown_job", 10)
    shown = home.cli("bundle", "show", job["id"])
    assert f"`crm-sweep restore {job['id']} --identity KEYFILE --state-dir .crm-sweep` restores them" in shown.stdout
    assert home.cli("bundle", "destroy", job["id"], "--yes").code == 0
    assert opened(home, home.directory / "undo") == []


def test_bundle_says_what_is_missing(home: Home) -> None:
    home.configure(main={"url": "http://127.0.0.1:1", **undo(home, "required")})
    assert "no bundles" in home.cli("bundle", "ls").stderr
    for words in (["show"], ["ls", "a-job"], ["destroy", "../etc"], ["ls", "--state-dir", "nowhere"]):
        assert home.cli("bundle", *words).code == 2
    assert home.cli("bundle", "destroy", "a-job", "--yes").code == 4


def test_check_writes_to_the_store(home: Home, portal: MakePortal) -> None:
    crm = portal("--contacts", 10)
    home.configure(main={"url": crm.url, **undo(home, "optional")})
    good = home.cli("check")
    assert "undo is optional: the store takes and gives back; encrypted to 1 public key; 30 days" in good.stdout
    assert list((home.directory / "undo").iterdir()) == []
    home.write("file", "no directory")
    home.configure(main={"url": crm.url, **undo(home, "required"), "undo_store": str(home.directory / "file")})
    bad = home.cli("check")
    assert bad.code == 5
    assert "the undo store cannot be used" in bad.stdout


def test_settings_that_cannot_work_are_refused(home: Home) -> None:
    usual: dict[str, object] = {"url": "http://127.0.0.1:1", **undo(home, "required")}
    wrong: list[tuple[dict[str, object], str]] = [
        ({"undo_recipients": ["age1nonsense"]}, "undo_recipients"),
        ({"undo_recipients": []}, "undo_recipients"),
        ({"undo_store": ""}, "undo_store"),
        ({"undo_store": "ftp://host/folder"}, "undo_store"),
        ({"undo_store": "s3://key:secret@bucket"}, "undo_store"),
        ({"answer_format": "xml"}, "answer_format"),
    ]
    for change, setting in wrong:
        home.configure(main=usual | change)
        result = home.cli("check")
        assert (result.code, f"portals.main.{setting}" in result.stdout) == (2, True), (change, result.stdout)
        assert "secret@" not in result.stdout + result.stderr
    secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"
    home.configure(main=usual | {"undo_recipients": [secret]})
    result = home.cli("check")
    assert "a private key" in result.stdout
    assert secret not in result.stdout + result.stderr
