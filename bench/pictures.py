"""`python -m bench report`: draws the tables of docs/benchmarks.md, or results in JSON, as pictures."""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import charts
from bench.charts import Chart
from bench.section import section_parser

_DOCS = Path(__file__).parents[1] / "docs"


def _charts(options: argparse.Namespace) -> Mapping[str, Chart]:
    if options.results:
        return {"speed": charts.of_speed_results([json.loads(path.read_text()) for path in options.results])}
    return charts.of_page(options.page.read_text())


def _parser() -> argparse.ArgumentParser:
    parser = section_parser(
        "report",
        "Draw the tables of docs/benchmarks.md as SVG, or the results of `python -m bench speed --json`.",
        "",
        "zero.json flat.json --images .",
    )
    parser.add_argument(
        "results", type=Path, nargs="*", metavar="RESULTS", help="JSON of the speed section, a panel for each file"
    )
    parser.add_argument(
        "--page", type=Path, default=_DOCS / "benchmarks.md", help="page with the tables (default: docs/benchmarks.md)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="where pictures go (default: docs/images; has to be given with RESULTS)",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Draw, and return the exit code: 0, 1 when something is missing, 2 for bad usage."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.results and not options.images:
        parser.error("give --images DIR with RESULTS: docs/images belongs to the tables of docs/benchmarks.md")
    folder = options.images or _DOCS / "images"
    try:
        drawn = _charts(options)
        plots = importlib.import_module("bench.plots")
    except ModuleNotFoundError as error:
        print(
            f"{error.name} is not installed; `make bench-report` installs it, as does pip install '.[report]'",
            file=sys.stderr,
        )
        return 1
    except (LookupError, OSError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in drawn.items():
        plots.write(chart, folder / f"{name}.svg")
        print(folder / f"{name}.svg")
    if options.json:
        options.json.write_text(json.dumps({name: asdict(chart) for name, chart in drawn.items()}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
