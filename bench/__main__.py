"""`python -m bench`: the benchmarks, a section at a time or a short run of everything that is there.

A section is a module with `main(argv) -> int`; `SHORT`, if it has one, holds its arguments for the short run.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence

_SECTIONS = {
    "speed": ("bench.rounds", "contacts per second, CPU and memory beside a bare loop and the peers"),
    "intake": ("bench.intake", "reading, sorting and storing ID lists"),
    "storage": ("bench.storage", "bytes per contact ID in Redis"),
    "recovery": ("bench.recovery", "what a killed worker and a restarted Redis cost"),
}


def _usage() -> str:
    sections = "\n".join(
        f"  {name:9} {summary}{'' if _is_there(name) else '  (not there yet)'}"
        for name, (_, summary) in _SECTIONS.items()
    )
    return f"""usage: python -m bench [SECTION [options]]

Without a section: a short run of every section that is there. SECTION --help lists its options.

sections:
{sections}

examples:
  python -m bench
  python -m bench speed --model realistic --rounds 5
  python -m bench speed --model zero --batch 1000 --ids 600000 --concurrency 8 --rounds 5 \\
      --variants bare,raw-json,arq,arq-default-poll,saq,celery,ours --json speed.json
"""


def _is_there(section: str) -> bool:
    return importlib.util.find_spec(_SECTIONS[section][0]) is not None


def _run(section: str, argv: Sequence[str] | None) -> int:
    """Run a section; None are the arguments of its short run."""
    if not _is_there(section):
        print(f"the section {section!r} is not there yet: there is no {_SECTIONS[section][0]}", file=sys.stderr)
        return 2
    module = importlib.import_module(_SECTIONS[section][0])
    code: int = module.main(getattr(module, "SHORT", []) if argv is None else argv)
    return code


def main(argv: Sequence[str]) -> int:
    """Run what the command line asks for; returns the exit code, the worst one of several sections."""
    if not argv:
        print("A short run of everything; `python -m bench --help` lists the sections.\n", file=sys.stderr)
        return max(_run(section, None) for section in _SECTIONS if _is_there(section))
    if argv[0] in ("-h", "--help", "help"):
        print(_usage(), end="")
        return 0
    if argv[0] not in _SECTIONS:
        print(f"there is no section {argv[0]!r}\n\n{_usage()}", end="", file=sys.stderr)
        return 2
    return _run(argv[0], argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
