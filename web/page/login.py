"""Logging in with an API key, and out."""

import math

from aiohttp import web

from config.logging import get_logger
from web.http.callers import find_key
from web.http.context import REDIS, SETTINGS
from web.page.admission import form_value
from web.page.render import page, see_other
from web.page.session import become, close_session, drop_cookie, open_session, visitor_of
from web.page.text import plural
from web.page.wrong_keys import WrongKeys

WRONG_KEYS = web.AppKey("wrong_keys", WrongKeys)
"""Wrong keys, counted by address."""

_log = get_logger()


async def show_login(request: web.Request) -> web.Response:
    """Ask for a key; whoever needs none, or is known already, goes on."""
    goal = _own_path(request.query.get("next", "/"))
    if visitor_of(request).caller is not None:
        return see_other(goal)
    return page(request, "login.html", error="", next=goal)


async def log_in(request: web.Request) -> web.Response:
    """Take a key, and open a session for whoever it belongs to."""
    goal, key_text = _own_path(form_value(request, "next")), form_value(request, "key").strip()
    settings, wrong_keys = request.app[SETTINGS], request.app[WRONG_KEYS]
    if not settings.api.keys:
        return see_other(goal)
    address = request.remote or ""
    caller = find_key(settings, key_text)
    if caller is None:
        if wait_s := wrong_keys.wait_s(address):
            response = page(
                request,
                "login.html",
                status=429,
                error=f"Too many wrong keys. Try again in {plural(math.ceil(wait_s), 'second')}.",
                next=goal,
            )
            response.headers["Retry-After"] = str(math.ceil(wait_s))
            return response
        wrong_keys.note(address)
        _log.warning("login_refused", remote=address)
        return page(request, "login.html", status=403, error="This key is not known.", next=goal)
    [key] = [key for key in settings.api.keys if key.name == caller.name]
    await close_session(request.app[REDIS], visitor_of(request))
    become(request, await open_session(request.app[REDIS], key))
    _log.info("logged_in", key=caller.name, remote=address)
    return see_other(goal)


async def log_out(request: web.Request) -> web.Response:
    """End the session."""
    await close_session(request.app[REDIS], visitor_of(request))
    response = see_other("/login" if request.app[SETTINGS].api.keys else "/")
    drop_cookie(request, response)
    return response


def _own_path(goal: str) -> str:
    """Return the path to go to, if it is one of ours: no one is sent elsewhere after logging in."""
    # Browsers take a backslash for a slash, leave control characters out, and go elsewhere for two slashes.
    is_ours = goal.startswith("/") and not goal.startswith("//") and "\\" not in goal and goal.isprintable()
    return goal if is_ours else "/"
