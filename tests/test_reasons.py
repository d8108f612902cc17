"""Every reason that is counted has its sentence, and every sentence a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import coo_middleware
from coo_middleware.core.reasons import BYPASSES, REFUSALS, explain_bypass, explain_refusal
from coo_middleware.formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(coo_middleware.__file__).parent
# Whatever returns a reason is called so; what _refuse_early gives is looked at for its truth alone.
GIVES = re.compile(r"bypass_\w+|_?refuse(?!_early)(_\w+)?|\w*_fault|_read|_caller")
TOKEN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Calls whose argument in this place is a reason.
TAKES = {"DocumentError": 0, "CodingError": 0, "explain_untouched": 0, "_refuse": 1, "_format": 1, "_verbs": 0}


def texts_in(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may come to."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*texts_in(node.body), *texts_in(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (text for each in node.values for text in texts_in(each))
    elif isinstance(node, ast.Tuple) and node.elts:
        yield from texts_in(node.elts[-1])


def tokens_at(node: ast.AST) -> Iterator[str]:
    """The reasons that one node of the source names."""
    if isinstance(node, ast.FunctionDef) and GIVES.fullmatch(node.name):
        returns = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
        yield from (text for value in returns for text in texts_in(value))
    elif isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        yield from (text for each in node.keywords if each.arg == "bypass" for text in texts_in(each.value))
        if name in TAKES and TAKES[name] < len(node.args):
            yield from texts_in(node.args[TAKES[name]])
    elif isinstance(node, ast.Assign):
        names = {getattr(each, "attr", getattr(each, "id", "")) for each in node.targets}
        yield from texts_in(node.value) if names & {"bypass", "fault", "refusal"} else ()


def tokens_of(*paths: Path) -> set[str]:
    found = {token for path in paths for node in ast.walk(ast.parse(path.read_text())) for token in tokens_at(node)}
    return set(filter(TOKEN.fullmatch, found))


FOUND = tokens_of(*PACKAGE.glob("*.py"), *(PACKAGE / "core").glob("*.py"), *(PACKAGE / "formats").glob("*.py"))


def test_every_reason_in_the_source_has_a_sentence() -> None:
    """Whatever the code gives as a reason to bypass or to refuse stands in one of the tables."""
    assert set() == FOUND - BYPASSES.keys() - REFUSALS.keys()


def test_every_reason_of_a_format_is_one_of_a_bypass() -> None:
    """What formats say of paths and documents stands in the table of bypasses."""
    told = {end.bypass for fmt in FORMATS for end in fmt.endpoints} | {fmt.bypass({}) for fmt in FORMATS}

    assert set() == told - BYPASSES.keys() - {""}


def test_no_sentence_is_left_over() -> None:
    """A sentence whose reason nobody gives is not kept. What is not yet asked for by the middleware is named here."""
    assert {"would-hit"} >= (BYPASSES.keys() | REFUSALS.keys()) - FOUND


def test_a_reason_would_be_found(tmp_path: Path) -> None:
    """The search can fail: each way of giving a reason is one that it sees."""
    (tmp_path / "x.py").write_text(
        'def bypass_x(d): return "a" if d else ""\n'
        'def _head_fault(d): return d or "b"\n'
        'Endpoint("/x", bypass="c")\n'
        'raise DocumentError("d")\n'
        'self.fault = "e"\n'
        'refusal = "f" if raised else refuse(answer)\n'
    )

    assert set("abcdef") == tokens_of(tmp_path / "x.py")


def test_one_word_may_mean_two_things() -> None:
    """A request and an answer can both be too large; the answer's reason counts where an answer is refused."""
    assert "Raise policy.max_request_bytes." == explain_bypass("too-large").remedy
    assert "Raise policy.cache.max_entry_bytes." == explain_refusal("too-large").remedy
    assert explain_bypass("stateful") == explain_refusal("stateful")


def test_an_unknown_reason_is_told_as_such() -> None:
    """A reason without a sentence costs no error."""
    assert "x" == explain_refusal("x").token


def test_every_reason_is_two_sentences() -> None:
    """Meaning and remedy are plain sentences that end with a full stop, and the token is the key."""
    for table in (BYPASSES, REFUSALS):
        for token, each in table.items():
            assert token == each.token
            assert each.meaning.endswith(".")
            assert each.remedy.endswith(".")
