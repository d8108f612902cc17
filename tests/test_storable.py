"""core/storable.py: what may be stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.exchange import Answer, Form
from coo_middleware.core.key import ANONYMOUS
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.storable import refuse_storing

POLICY = CachePolicy()
SHARED = CachePolicy(scope="shared")
TENANTS = CachePolicy(scope="header:x-team")
WHOLE = Outcome(whole=True, usage=Usage(6, 7), finish_reasons=("stop",), error=False, sound=True, model="m")
ANSWER = Answer(status=200, headers=(), form="body", content=b"{}", ended=True, strange=False, outcome=WHOLE)
STREAM = replace(ANSWER, form="stream")


def told(answer: Answer, *fields: tuple[bytes, bytes]) -> Answer:
    return replace(answer, headers=fields)


def ended_by(*reasons: str) -> Answer:
    return replace(ANSWER, outcome=replace(WHOLE, finish_reasons=reasons))


@pytest.mark.parametrize("policy", [POLICY, SHARED, TENANTS])
def test_whole_answer_is_stored(policy: CachePolicy) -> None:
    """A whole, sound answer in the form that was asked for is stored, in every scope."""
    assert refuse_storing(ANSWER, policy, stream=False) == ""
    assert refuse_storing(STREAM, policy, stream=True) == ""


@pytest.mark.parametrize("status", [0, 99, 201, 202, 204, 206, 301, 304, 400, 401, 429, 500, 503, 529])
def test_only_200_is_stored(status: int) -> None:
    """Any other status is refused, whatever its content."""
    assert "status" == refuse_storing(replace(ANSWER, status=status), POLICY, stream=False)


@pytest.mark.parametrize("form", ["", "stream"])
def test_only_what_was_asked_for_is_stored(form: Form) -> None:
    """A request for JSON is never answered from anything else, nor one for a stream from JSON."""
    assert "content-type" == refuse_storing(replace(ANSWER, form=form), POLICY, stream=False)
    assert "content-type" == refuse_storing(ANSWER, POLICY, stream=True)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (replace(ANSWER, strange=True), "strange"),
        (replace(ANSWER, ended=False), "incomplete"),
        (replace(ANSWER, outcome=replace(WHOLE, whole=False)), "incomplete"),
        (replace(ANSWER, outcome=UNREADABLE), "incomplete"),
        (replace(ANSWER, content=None), "too-large"),
        (told(ANSWER, (b"set-cookie", b"s=1")), "set-cookie"),
        (told(ANSWER, (b"x", b"y"), (b"Set-Cookie", b"")), "set-cookie"),
        (told(ANSWER, *[(b"set-cookie", b"s=%d" % place) for place in range(200)]), "set-cookie"),
        (told(ANSWER, (b"cache-control", b"no-store")), "no-store"),
        (told(ANSWER, (b"Cache-Control", b"max-age=5"), (b"cache-control", b"No-Store")), "no-store"),
        (told(ANSWER, (b"cache-control", b'private="')), "no-store"),
        (told(ANSWER, (b"cache-control", b"\xff")), "no-store"),
        (replace(ANSWER, outcome=replace(WHOLE, error=True)), "error"),
        (replace(ANSWER, outcome=replace(WHOLE, sound=False)), "unsound"),
    ],
)
def test_poison_is_refused(answer: Answer, reason: str) -> None:
    """What was cut, failed, empty, strange, too long, somebody's session or forbidden is refused by that reason."""
    assert reason == refuse_storing(answer, POLICY, stream=False)


@pytest.mark.parametrize(
    "control", [b"", b"no-cache", b"public, max-age=60", b"max-age=0", b"s-maxage=1", b"must-revalidate"]
)
def test_other_directives_forbid_nothing(control: bytes) -> None:
    """Freshness is the policy's own; only `no-store` and `private` say that storing is not wanted."""
    assert refuse_storing(told(ANSWER, (b"cache-control", control)), SHARED, stream=False) == ""


@pytest.mark.parametrize("control", [b"private", b"Private, max-age=5", b'private="x-field"'])
def test_private_answer_is_not_shared(control: bytes) -> None:
    """`private` lets an answer be stored for its own caller, and not where several share (RFC 9111 section 5.2.2.7), as
    all do of whom nobody knows who they are.
    """
    answer = told(ANSWER, (b"cache-control", control))

    assert refuse_storing(answer, POLICY, stream=False, caller="3f9a") == ""
    assert "no-store" == refuse_storing(answer, POLICY, stream=False, caller=ANONYMOUS)
    assert "no-store" == refuse_storing(answer, POLICY, stream=False)
    assert "no-store" == refuse_storing(answer, SHARED, stream=False, caller="3f9a")
    assert "no-store" == refuse_storing(answer, TENANTS, stream=False, caller="3f9a")


def test_targeted_field_wins() -> None:
    """Where Coo-Cache-Control is there, what Cache-Control says is for other caches (RFC 9213 section 2.2)."""
    kept = told(ANSWER, (b"Cache-Control", b"no-store, private"), (b"Coo-Cache-Control", b"max-age=60"))
    refused = told(ANSWER, (b"cache-control", b"public"), (b"coo-cache-control", b"no-store"))

    assert refuse_storing(kept, SHARED, stream=False) == ""
    assert "no-store" == refuse_storing(refused, POLICY, stream=False, caller="3f9a")


@pytest.mark.parametrize(
    "vary",
    [b"", b"Accept-Encoding", b"Origin, accept-encoding", b"origin,,ACCEPT-ENCODING", b"anthropic-version", b"X-Mode"],
)
def test_answer_may_vary_by_what_the_key_holds(vary: bytes) -> None:
    """What is part of the key, or changes nothing that is kept, may have chosen the answer."""
    for policy in (CachePolicy(key_headers=("x-mode",)), CachePolicy(key_headers=("x-mode",), scope="shared")):
        assert refuse_storing(told(ANSWER, (b"Vary", vary)), policy, stream=False) == ""


@pytest.mark.parametrize("vary", [b"*", b"Accept", b"Accept-Encoding, User-Agent", b"x-experiment", b"\xff", b"a b"])
def test_answer_that_varies_otherwise_is_refused(vary: bytes) -> None:
    """An answer that another request's fields would have changed is not stored (RFC 9111 section 4.1)."""
    for policy in (POLICY, SHARED, TENANTS):
        assert "vary" == refuse_storing(told(ANSWER, (b"vary", b"Origin"), (b"VARY", vary)), policy, stream=False)


def test_answer_may_vary_by_credentials_only_where_they_scope() -> None:
    """Who asks is told apart by credentials, or by the tenant's field, and in a shared scope by nothing."""
    cookie, team = told(ANSWER, (b"vary", b"Cookie, Authorization")), told(ANSWER, (b"vary", b"X-TEAM"))

    assert ["", "vary", "vary"] == [refuse_storing(cookie, each, stream=False) for each in (POLICY, SHARED, TENANTS)]
    assert ["vary", "vary", ""] == [refuse_storing(team, each, stream=False) for each in (POLICY, SHARED, TENANTS)]


@pytest.mark.parametrize(
    "reason", ["stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use", "completed"]
)
def test_finished_answer_is_stored(reason: str) -> None:
    """An answer that ended by itself is stored."""
    assert refuse_storing(ended_by(reason, reason), POLICY, stream=False) == ""


@pytest.mark.parametrize(
    "reason",
    [
        "length",
        "max_tokens",
        "content_filter",
        "refusal",
        "error",
        "pause_turn",
        "incomplete",
        "",
        "MAX_TOKENS",
        "SAFETY",
        "?",
    ],
)
def test_answer_that_ended_otherwise_is_refused(reason: str) -> None:
    """An answer of which one choice ended for a reason that the policy does not name is refused."""
    assert "finish-reason" == refuse_storing(ended_by("stop", reason), POLICY, stream=False)


def test_policy_names_the_finish_reasons() -> None:
    """An operator may let cut answers be stored, and forbid others."""
    policy = CachePolicy(store_finish_reasons=("length",))

    assert refuse_storing(ended_by("length"), policy, stream=False) == ""
    assert "finish-reason" == refuse_storing(ended_by("stop"), policy, stream=False)


def test_answer_without_choices_to_finish_is_stored() -> None:
    """A format whose answers end for no reason, as embeddings do, is judged by the rest."""
    assert refuse_storing(ended_by(), POLICY, stream=False) == ""


@given(
    st.builds(
        Answer,
        status=st.sampled_from([200, 206, 500]),
        headers=st.lists(
            st.tuples(
                st.sampled_from([b"x", b"Set-Cookie", b"cache-control"]),
                st.sampled_from([b"", b"no-store", b"private"]) | st.binary(),
            )
        ).map(tuple),
        form=st.sampled_from(["body", "stream", ""]),
        content=st.none() | st.binary(),
        ended=st.booleans(),
        strange=st.booleans(),
        outcome=st.builds(
            Outcome,
            whole=st.booleans(),
            usage=st.none(),
            finish_reasons=st.lists(st.sampled_from(["stop", "length"])).map(tuple),
            error=st.booleans(),
            sound=st.booleans(),
            model=st.just(""),
        ),
    ),
    st.booleans(),
)
def test_stored_answer_has_no_fault_at_all(answer: Answer, stream: bool) -> None:
    """Whatever comes together, an answer that is stored passes every single rule, and bytes in a field never raise."""
    if refuse_storing(answer, SHARED, stream=stream) == "":
        assert (200, False, True) == (answer.status, answer.strange, answer.ended)
        assert answer.content is not None
        assert answer.form == ("stream" if stream else "body")
        assert (True, True, False) == (answer.outcome.whole, answer.outcome.sound, answer.outcome.error)
        assert "length" not in answer.outcome.finish_reasons
        assert {b"x", b"cache-control"} >= {name.lower() for name, _ in answer.headers}
        assert not {(b"cache-control", b"no-store"), (b"cache-control", b"private")} & set(answer.headers)
