"""What `coo explain` says, on standard output, for a person or for a program."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console

from coo_middleware.cli.diagnosis import printable
from coo_middleware.core.contrast import WITHHELD
from coo_middleware.core.dump import DumpError
from coo_middleware.core.explain import CALLER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coo_middleware.core.explain import Explanation
    from coo_middleware.core.judgement import Judgement
    from coo_middleware.core.reasons import Reason
    from coo_middleware.core.request import Headers
    from coo_middleware.core.showing import Shown
    from coo_middleware.explainer import Report


def read_headers(headers: Sequence[str]) -> Headers:
    """The fields that are written as `name: value`. Raises DumpError."""
    pairs = [header.partition(":") for header in headers]
    if not all(name.strip() and colon for name, colon, _ in pairs):
        raise DumpError("--header: must be 'name: value'")
    return [(name.strip().lower().encode(), value.strip().encode()) for name, _, value in pairs]


def show_report_lines(report: Report, names: Sequence[str]) -> None:
    """A paragraph for each request, `names` being their files', one for the answer, and a line for each difference."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for line in _lines(report, names):
        console.print(printable(line))


def show_report_json(report: Report, names: Sequence[str]) -> None:
    """One document with the fields of Report, and the names of the files under `files`."""
    print(json.dumps({"files": list(names), **asdict(report)}, indent=2))  # noqa: T201


def _lines(report: Report, names: Sequence[str]) -> Iterator[str]:
    for name, each in zip(names, (report.a, report.b), strict=False):
        if each is not None:
            yield from (name, *_lines_of_request(each), "")
    if report.answer is not None:
        yield from ("answer", *_lines_of_answer(report.answer), "")
    yield from map(_line_of_difference, report.differences)
    if report.left_off:
        yield f"and {report.left_off} more"
    if report.equal is not None:
        counting = sum(each.verdict == "counts" for each in report.differences)
        yield "the keys are equal" if report.equal else f"the keys differ: {counting} of these differences count"


def _lines_of_request(request: Explanation) -> Iterator[str]:
    if request.format:
        yield f"  format    {request.format}, asks for a {'stream' if request.stream else 'body'}"
        yield f"  provider  {request.provider}, model {request.model or 'none'}, caller {request.caller}"
    if request.wishes:
        yield f"  asks      {', '.join(request.wishes)}"
    if request.bypass is not None:
        yield from _lines_of_reason("bypass", request.bypass)
    else:
        yield f"  key       {request.key}"
        yield f"  made of   {', '.join(dict.fromkeys(part.name for part in request.parts))}"


def _lines_of_answer(answer: Judgement) -> Iterator[str]:
    told = f"status {answer.status}, {answer.length} bytes, {'whole' if answer.whole else 'not whole'}"
    reasons = f", ended for {', '.join(answer.finish_reasons)}" if answer.finish_reasons else ""
    tokens = f", {answer.usage.tokens} tokens" if answer.usage else ""
    yield f"  came      {told}{reasons}{tokens}"
    if answer.refusal is None:
        yield "  stored    yes"
    else:
        yield from _lines_of_reason("unstored", answer.refusal)


def _lines_of_reason(word: str, reason: Reason) -> Iterator[str]:
    yield f"  {word:<8}  {reason.token}: {reason.meaning}"
    yield f"{'':<12}-> {reason.remedy}"


def _line_of_difference(each: Shown) -> str:
    order = " (only the order of its members)" if each.is_order else ""
    alike = f", alike up to character {each.alike}" if each.alike is not None else ""
    values = "" if each.a == each.b == WITHHELD.value else f"{each.a} | {each.b}{alike}"
    told = "another caller" if each.where == CALLER else values
    return f"{each.verdict:<10}  {each.where}{order}  {told}".rstrip()
