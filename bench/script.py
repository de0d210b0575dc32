"""The frame of a measured program without a queue: import, print "ready", wait for "go", work, print "done".

It stays alive after the work until its standard input is closed, so that its CPU and memory can still be read.
"""

import sys
from collections.abc import Callable

from bench.load import Load


def run_script(work: Callable[[Load], None]) -> None:
    """Run as a measured program: call `work` once, with the load from the first command-line argument."""
    load = Load.from_argument(sys.argv[1])
    print("ready", flush=True)
    if sys.stdin.readline():
        work(load)
        print("done", flush=True)
        sys.stdin.read()
