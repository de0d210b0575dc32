"""How fast a list of contact IDs becomes a sorted set without duplicates, and in how much memory.

    python -m bench.intake [--ids 10000000] [--only NAME …]

Every row is a fresh process that reads one generated file; next to it is the plain way, `sorted(set(map(int,
data.split())))`, for the same dense or sparse IDs, one per line. Peak memory is that of the whole process, including
its interpreter (about 30 MB with the libraries). Where CPU seconds fall short of wall seconds, the machine was busy
with something else.
"""

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.intake.parser import read_contact_ids

DENSE_MAX = 30_000_000
SPARSE_MAX = 2_147_483_647
WRITE_STEP = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.intake", description=__doc__)
    parser.add_argument("--ids", type=int, default=10_000_000, help="IDs per file (default 10,000,000)")
    parser.add_argument("--only", nargs="*", help="measure only these files, e.g. dense.txt sparse.txt")
    parser.add_argument("--measure", nargs=2, metavar=("HOW", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    with tempfile.TemporaryDirectory(prefix="bench-intake-") as directory:
        compare(Path(directory), options.ids, options.only)


def compare(directory: Path, count: int, only: list[str] | None) -> None:
    print(f"{count:,} IDs, Python {sys.version.split()[0]}; M/s is million IDs per second")
    print(
        f"{'file':<16} {'MB':>6} {'s':>6} {'CPU s':>6} {'M/s':>6} {'peak MB':>8}"
        f"   {'plain s':>8} {'plain MB':>8} {'faster':>7}"
    )
    for spread, highest in (("dense", DENSE_MAX), ("sparse", SPARSE_MAX)):
        names = [name for name in files_of(spread) if not only or name in only]
        if not names:
            continue
        lines = directory / f"{spread}.txt"
        write(lines, count, highest)
        plain_s, _, plain_mb, plain_ids = run("plain", lines)
        for name in names:
            path = directory / name
            if path != lines:
                write(path, count, highest)
            wall_s, cpu_s, peak_mb, ids = run("intake", path)
            assert ids == plain_ids, f"{name}: {ids} IDs, the plain way found {plain_ids}"
            size_mb = path.stat().st_size / 1e6
            print(
                f"{name:<16} {size_mb:>6.0f} {wall_s:>6.2f} {cpu_s:>6.2f} {count / wall_s / 1e6:>6.2f} {peak_mb:>8.0f}"
                f"   {plain_s:>8.2f} {plain_mb:>8.0f} {plain_s / wall_s:>6.1f}x",
                flush=True,
            )
            if path != lines:
                path.unlink()
        lines.unlink()


def files_of(spread: str) -> list[str]:
    return [f"{spread}.{ending}" for ending in ("txt", "txt.gz", "csv", "quoted.csv", "json", "ndjson")]


def write(path: Path, count: int, highest: int) -> None:
    """Write the same random IDs in the form that the file's name stands for."""
    form = path.name.split(".", 1)[1].removesuffix(".gz")
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for start, ids in enumerate(chunks(count, highest)):
            if form == "txt":
                file.write(b"".join(b"%d\n" % i for i in ids))
            elif form == "csv":
                file.write(b"id,email\n" * (start == 0) + b"".join(b"%d,user%d@example.com\n" % (i, i) for i in ids))
            elif form == "quoted.csv":
                file.write(b'"id","name"\n' * (start == 0) + b"".join(b'"%d","Smith, Ann"\n' % i for i in ids))
            elif form == "json":
                file.write((b"[" if start == 0 else b", ") + b", ".join(b"%d" % i for i in ids))
            else:
                file.write(b"".join(b'{"id": %d, "name": "Ann"}\n' % i for i in ids))
        if form == "json":
            file.write(b"]")


def chunks(count: int, highest: int) -> Iterator[list[int]]:
    rng = random.Random(count)
    for start in range(0, count, WRITE_STEP):
        yield [rng.randint(1, highest) for _ in range(min(WRITE_STEP, count - start))]


def run(how: str, path: Path) -> tuple[float, float, float, int]:
    """Measure in a fresh process; return wall seconds, CPU seconds, peak MB and the number of distinct IDs."""
    command = [sys.executable, "-m", "bench.intake", "--measure", how, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True).stdout
    result = json.loads(answer)
    return result["wall_s"], result["cpu_s"], result["peak_mb"], result["ids"]


def measure(how: str, file: str) -> None:
    path = Path(file)
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    if how == "plain":
        distinct = len(sorted(set(map(int, path.read_bytes().split()))))
    else:
        with path.open("rb") as source:
            distinct = len(read_contact_ids(source).ids)
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_mb": peak_kib * 1024 / 1e6, "ids": distinct}))


if __name__ == "__main__":
    main()
