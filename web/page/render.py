"""From a template and its values to an answer of the page, with the headers that every answer of the page has."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from aiohttp import web

from jobs.words.outcomes import Outcome
from web.page import text, words
from web.page.assets import asset_url
from web.page.bars import outcome_bar, verdict_bar
from web.page.session import visitor_of
from web.page.standing import name_of
from web.page.stops import stops_of

#: Nothing is loaded from elsewhere, nothing runs inline, no site frames the page, and forms go nowhere else.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # The page is for the user who asked, and only current now.
    "Cache-Control": "no-store",
}


@cache
def templates() -> jinja2.Environment:
    """Build the environment of the templates, once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("web.page", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "code_marks": text.code_marks,
        "path": text.path_part,
        "number": text.number,
        "pace": text.pace,
        "duration": text.duration,
        "share": text.share,
        "sentence": text.sentence,
        "down_percent": text.down_percent,
        "span": text.span,
    }
    environment.globals |= {
        "asset": asset_url,
        "plural": text.plural,
        "outcome_bar": outcome_bar,
        "verdict_bar": verdict_bar,
        "name_of": name_of,
        "STATES": words.STATES,
        "OUTCOMES": words.OUTCOMES,
        "VERDICTS": words.VERDICTS,
        "CANARY": words.CANARY,
        "BUNDLE": words.BUNDLE,
        "PLAN_EXPIRED": words.PLAN_EXPIRED,
        "VIEWS": words.VIEWS,
        "VERBS": words.VERBS,
        "PRIORITIES": words.PRIORITIES,
        "ACTIONS": words.ACTIONS,
        "path_word": words.path_word,
        "Outcome": Outcome,
    }
    return environment


def fragment(request: web.Request, template: str, **values: Any) -> str:
    """Render a template, or a part of one, for whoever asks."""
    visitor = visitor_of(request)
    stops = stops_of(request)
    return templates().get_template(template).render(visitor=visitor, here=request.path, stops=stops, **values)


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Answer with a screen.

    Args:
        request: what it answers.
        template: name of the template.
        status: of the answer.
        values: what the template shows, beside `visitor`, `here` and `stops`, which every template has.
    """
    body = fragment(request, template, **values)
    return web.Response(text=body, status=status, content_type="text/html", headers=SECURITY_HEADERS)


def see_other(location: str) -> web.Response:
    """Answer a form with a redirect (303), so that reloading sends nothing twice."""
    return web.Response(status=303, headers={**SECURITY_HEADERS, "Location": location})
