"""A page without ornament."""

from __future__ import annotations

from html import escape
from typing import Any

from gateway.dashboard.page import Answer, Asked, Document, Pages, Rest
from gateway.site import Site
from gateway.store import Store


def _page(title: str, *parts: str, status: int = 200) -> Answer:
    body = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>{"".join(parts)}</html>'
    return Answer(body.encode(), status=status)


def _site(site: Site, asked: Asked) -> Rest:
    entries = {name: _meter(site, name) for name in site.live.meters}
    user, form = escape(asked.user), escape(asked.form)

    def rest(store: Store) -> Answer:
        rows = "".join(f"<tr><td>{escape(name)}<td>{escape(str(e['values']))}" for name, e in entries.items())
        out = f'<form method="post" action="/logout"><input type="hidden" name="form" value="{form}">'
        return _page(
            site.config.gateway_id, f"<p>{escape(asked.said)}<table>{rows}</table>{out}<button>{user}: log out"
        )

    return rest


def _meter(site: Site, name: str) -> dict[str, Any]:
    reading = site.live.meters[name].reading
    values = {} if reading is None else {v.name: str(v.value) for v in reading.values}
    return {"time": reading and reading.time_ms, "values": values}


def _source(site: Site) -> Any:
    document: Document = {"meters": {name: _meter(site, name) for name in site.live.meters}}
    return lambda store: document


def _login(asked: Asked, problem: str) -> Answer:
    hidden = f'<input type="hidden" name="form" value="{escape(asked.form)}">'
    hidden += f'<input type="hidden" name="next" value="{escape(asked.query.get("next", "/"))}">'
    fields = '<input name="user" autocomplete="username"><input name="password" type="password">'
    return _page("Log in", f'<p>{escape(problem)}<form method="post" action="/login">{hidden}{fields}<button>Log in')


def _problem(asked: Asked, status: int, problem: str, way_out: str) -> Answer:
    return _page(problem, f"<p>{escape(problem)}<p>{escape(way_out)}", status=status)


def _static(name: str) -> tuple[bytes, str, str] | None:
    return None


PAGES = Pages({"/": _site}, _source, _login, _problem, _static)
