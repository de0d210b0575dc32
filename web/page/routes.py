"""Every address of the page, in one table: method, path, what it needs, and who answers."""

from aiohttp import web

from web.api.plan import job_plan
from web.api.receipts import job_receipt
from web.http.callers import Scope
from web.page import job_screens as jobs
from web.page import ledger, login, new, new_filter, steer, switch, webhook_screen
from web.page import portal_screen as portals
from web.page import schedules_screen as schedules
from web.page.admission import Handler, guarded
from web.page.assets import serve_asset
from web.page.wrong_keys import WrongKeys

_ROUTES: tuple[tuple[str, str, Scope | None, Handler], ...] = (
    ("GET", "/", "read", jobs.show_jobs),
    ("GET", "/events", "read", jobs.jobs_events),
    ("GET", "/jobs/{job_id}", "read", jobs.show_job),
    ("GET", "/jobs/{job_id}/events", "read", jobs.job_events),
    ("GET", "/jobs/{job_id}/ledger", "read", ledger.show_ledger),
    ("GET", "/jobs/{job_id}/plan", "read", job_plan),
    ("GET", "/jobs/{job_id}/receipt", "read", job_receipt),
    ("GET", "/jobs/{job_id}/cancel", "control", steer.ask_to_cancel),
    ("POST", "/jobs/{job_id}/{verb:pause|resume|cancel|approve|retry-failed|priority}", "control", steer.steer),
    ("GET", "/new", "submit", new.show_form),
    ("POST", "/new", "submit", new.take_list),
    ("GET", "/new/filter", "submit", new_filter.show_filter_form),
    ("POST", "/new/filter", "submit", new_filter.take_filter),
    ("GET", "/new/{draft_id}", "submit", new.show_draft),
    ("POST", "/new/{draft_id}", "submit", new.confirm),
    ("GET", "/portals", "read", portals.show_portals),
    ("GET", "/portals/events", "read", portals.portals_events),
    ("POST", "/portals/{name}", "control", portals.change_limits),
    ("GET", "/schedules", "read", schedules.show_schedules),
    ("GET", "/schedules/events", "read", schedules.schedules_events),
    ("GET", "/webhooks", "read", webhook_screen.show_webhooks),
    ("GET", "/{to:stop|start}", "control", switch.ask_to_switch),
    ("POST", "/{to:stop|start}", "control", switch.turn_switch),
    ("GET", "/login", None, login.show_login),
    ("POST", "/login", None, login.log_in),
    ("POST", "/logout", None, login.log_out),
)

#: This one reads its form itself, as it arrives.
_UPLOAD = ("POST", "/new")

#: Here the body or the answer may go on for long; everything else has to come to an end soon.
_LONG = {
    _UPLOAD,
    *(("GET", path) for path in ("/events", "/portals/events", "/schedules/events", "/jobs/{job_id}/events")),
    ("GET", "/jobs/{job_id}/ledger"),
    ("GET", "/jobs/{job_id}/plan"),
    ("GET", "/jobs/{job_id}/receipt"),
}


def add_page(app: web.Application) -> None:
    """Make the page reachable in an application that has its settings, Redis and watcher."""
    app[login.WRONG_KEYS] = WrongKeys()
    for method, path, scope, handler in _ROUTES:
        route = (method, path)
        answer = guarded(handler, scope, reads_body=route == _UPLOAD, is_long=route in _LONG)
        app.router.add_route(method, path, answer)
        if method == "GET":
            app.router.add_route("HEAD", path, answer)
    app.router.add_get("/static/{name}", serve_asset)
