"""`crm-sweep simulator`: the simulated portal on its own."""

import typer

from simulator.__main__ import main


def simulator(ctx: typer.Context) -> int:
    """Run a simulated portal that behaves, and misbehaves, like the real one; `simulator --help` lists its options.

    Examples:
      crm-sweep simulator --port 8090 --contacts 20000 --base-ms 50 --per-contact-ms 2
    """
    return main(ctx.args, prog="crm-sweep simulator")
