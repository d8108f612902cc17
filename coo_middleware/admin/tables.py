"""`GET /tables`: the summary as a page without a script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, cast

from starlette.responses import HTMLResponse

from coo_middleware.admin.summary import answer_summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.responses import Response

    from coo_middleware.admin.room import Asked, Room

_WINDOWS: Final = {"5 minutes": 300, "1 hour": 3600, "24 hours": 86_400, "7 days": 604_800, "30 days": 2_592_000}
_COLUMNS: Final = (
    *("requests", "hit ratio", "failures", "tokens", "tokens saved", "cost", "cost saved"),
    *("p50", "p95", "first chunk p50"),
)
_GROUPS: Final = {"providers": ("provider",), "keys": ("provider", "key"), "models": ("model",)}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>coo</title><link rel="stylesheet" href="style.css"></head>
<body class="tables"><main><h1>coo</h1><nav>{links}</nav>
<p>The last {window} seconds.{remark}</p>
{tables}</main></body></html>
"""


async def answer_tables(room: Room, asked: Asked) -> Response:
    """An HTML page with the figures of `answer_summary`. Raises as that does."""
    summary = await answer_summary(room, asked)
    window = cast("int", summary["window_seconds"])
    everything = _tabulate("all", (), [cast("Mapping[str, object]", summary["all"])])
    groups = [
        _tabulate(group, names, cast("Sequence[Mapping[str, object]]", summary[group]))
        for group, names in _GROUPS.items()
    ]
    links = " ".join(f'<a href="tables?window={seconds}">{name}</a>' for name, seconds in _WINDOWS.items())
    remark = "" if summary["is_complete"] else " There are more counters than are added up here."
    page = _PAGE.format(links=links, window=window, remark=remark, tables="\n".join([everything, *groups]))
    return HTMLResponse(page)


def _tabulate(title: str, names: tuple[str, ...], rows: Iterable[Mapping[str, object]]) -> str:
    head = _row("th", [*names, *_COLUMNS])
    body = "\n".join(_row("td", [*(str(row[name]) for name in names), *_list_cells(row)]) for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead>{head}</thead>\n<tbody>{body}</tbody></table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _list_cells(row: Mapping[str, object]) -> list[str]:
    duration, first = (cast("Mapping[str, float | None]", row[name]) for name in ("duration", "first_chunk"))
    ratio = cast("float | None", row["hit_ratio"])
    return [
        str(row["requests"]),
        "–" if ratio is None else f"{ratio:.1%}",  # noqa: RUF001 -- a dash for nothing
        *(str(row[name]) for name in ("failures", "tokens", "tokens_saved")),
        *(f"${row[name]:.4f}" for name in ("cost", "cost_saved")),
        *(map(_show_time, (duration["p50"], duration["p95"], first["p50"]))),
    ]


def _show_time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms"  # noqa: RUF001 -- a dash for nothing
