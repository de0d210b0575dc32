"""Running the examples for other services as their users would."""

import subprocess

from tests.support.documents import ROOT
from tests.support.home import Home, Result, until

EXAMPLES = ROOT / "docs" / "examples"


def start_api(home: Home) -> str:
    """Start the API, and return its address."""
    log = home.directory / f"api.{len(home.running)}.log"
    home.start("api", "--port", "0")
    until(lambda: "listening on http" in log.read_text())
    return next(line for line in log.read_text().splitlines() if "listening on " in line).split()[-1]


def run(home: Home, *command: str, **environment: str) -> Result:
    """Run an example where a user would."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=home.directory,
        env=home.environment(**environment),
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)
