"""`crm-sweep worker`: a worker process."""

import typer

from cli.context import redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from config.logging import configure_logging, get_logger
from config.settings import Settings
from config.tracing_setup import start_tracing
from jobs.store.server_check import check_server
from worker.main import run_worker


def worker(ctx: typer.Context) -> ExitCode:
    """Run a worker: it drives the portals whenever there are jobs, and logs to standard error.

    After SIGTERM or Ctrl-C it finishes the batches in flight (worker.shutdown_grace_s). Any number of workers can run;
    the portals' limits apply to all of them together.

    Exit codes: 0 stopped in an orderly way, 2 the configuration is wrong, or the settings of Redis put the ledger at
    risk, 5 Redis cannot be reached at the start. Once it runs, a worker survives an outage of Redis.

    Examples:
      crm-sweep worker
      CRM_SWEEP_CONFIG=/etc/crm-sweep.toml CRM_SWEEP_LOG__LEVEL=debug crm-sweep worker
    """
    settings = settings_of(ctx)
    configure_logging(settings.log)
    start_tracing(settings.tracing)
    run_async(_work(settings))
    return ExitCode.DONE


async def _work(settings: Settings) -> None:
    # A worker is patient once it runs; at the start, a wrong address should be reported immediately.
    async with redis_of(settings) as redis:
        await check_server(redis)
    log = get_logger()
    log.info("worker_started", redis=settings.redis.redacted, portals=sorted(settings.portals))
    await run_worker(settings)
    log.info("worker_stopped")
