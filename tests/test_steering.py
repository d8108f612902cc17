"""core/steering.py: requests and answers steer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.directives import Directives
from coo_middleware.core.policy import CachePolicy, CallerPolicy, Control
from coo_middleware.core.steering import (
    AnswerWishes,
    answer_wishes,
    effective_grace,
    effective_tags,
    effective_ttl,
    is_name,
    read_wishes,
)

POLICY = CachePolicy(ttl_seconds=100)
COMPAT = CachePolicy(ttl_seconds=100, compat_headers=True)
OFF = Directives(no_store=True, no_cache=True)
NO_WRITE = Directives(no_write=True)
NAMES: list[Control] = ["x-coo-cache", "x-coo-ttl", "x-coo-namespace", "x-coo-tags"]


def wish(*fields: tuple[bytes, bytes], policy: CachePolicy = POLICY) -> Directives:
    return read_wishes(fields, policy)


def said(value: bytes) -> AnswerWishes:
    return answer_wishes([(b"Coo-Cache-Control", value)])


def may(callers: CallerPolicy) -> CachePolicy:
    return replace(POLICY, callers=callers)


@pytest.mark.parametrize(
    ("value", "wishes"),
    [
        (b"on", Directives()),
        (b"off", OFF),
        (b" READ\t", NO_WRITE),
        (b"write", Directives(no_cache=True)),
        (b"refresh", Directives(no_cache=True)),
        (b"read, refresh", Directives(no_cache=True, no_write=True)),
        (b"read, off", Directives(no_store=True, no_cache=True, no_write=True)),
        (b"", OFF),
        (b"true", OFF),
        (b"read write", OFF),
        (b"read,", Directives(no_store=True, no_cache=True, no_write=True)),
        (b"\xff", OFF),
    ],
)
def test_mode_is_read(value: bytes, wishes: Directives) -> None:
    """Each word has its meaning, several restrict together, and a word that is none switches the cache off."""
    assert wishes == wish((b"x-coo-cache", value))


def test_several_fields_restrict_together() -> None:
    """What one field forbids no other allows."""
    fields = [(b"x-coo-cache", b"read"), (b"cache-control", b"max-age=5"), (b"x-coo-cache", b"on")]

    assert Directives(max_age=5, no_write=True) == wish(*fields)
    assert OFF == wish((b"x-coo-cache", b"on"), (b"cache-control", b"no-store, no-cache"))


@pytest.mark.parametrize(
    ("values", "wishes"),
    [
        ([b"7"], Directives(ttl=7)),
        ([b"100"], Directives(ttl=100)),
        ([b"101"], Directives(ttl=100)),
        ([b"9" * 5000], Directives(ttl=100)),
        ([b"9", b" 8\t"], Directives(ttl=8)),
        ([b"0"], NO_WRITE),
        ([b"000"], NO_WRITE),
        ([b""], NO_WRITE),
        ([b"-1"], NO_WRITE),
        ([b"1.5"], NO_WRITE),
        ([b"5, 6"], NO_WRITE),
        ([b"9", b"x"], NO_WRITE),
        ([b"\xff"], NO_WRITE),
    ],
)
def test_ttl_is_shortened(values: list[bytes], wishes: Directives) -> None:
    """The shortest lifetime counts, none is longer than the configured one, and what is none keeps the answer out."""
    assert wishes == wish(*[(b"x-coo-ttl", value) for value in values])


def test_ttl_is_lengthened_as_far_as_callers_may() -> None:
    """`max_ttl_seconds` bounds what a caller may ask for, and never shortens what is configured."""
    longer, shorter = may(CallerPolicy(max_ttl_seconds=300)), may(CallerPolicy(max_ttl_seconds=30))

    assert [200, 300] == [wish((b"x-coo-ttl", each), policy=longer).ttl for each in (b"200", b"400")]
    assert [60, 100] == [wish((b"x-coo-ttl", each), policy=shorter).ttl for each in (b"60", b"400")]


@pytest.mark.parametrize(
    ("values", "wishes"),
    [
        ([b"eu"], Directives(namespace="eu")),
        ([b" a b\t", b"a b"], Directives(namespace="a b")),
        (["Köln".encode()], Directives(namespace="Köln")),
        ([b"x" * 64], Directives(namespace="x" * 64)),
        ([b"x" * 65], OFF),
        ([b""], OFF),
        ([b"a", b"b"], OFF),
        ([b"a\x00"], OFF),
        ([b"a\nb"], OFF),
        ([b"\xff"], OFF),
        (["a\u202eb".encode()], OFF),
    ],
)
def test_namespace_is_read(values: list[bytes], wishes: Directives) -> None:
    """One printable name is a namespace; where none is agreed on, the answer is neither reused nor stored."""
    assert wishes == wish(*[(b"x-coo-namespace", value) for value in values])


@pytest.mark.parametrize(
    ("values", "wishes"),
    [
        ([b"a, b"], Directives(tags=("a", "b"))),
        ([b"b", b",a ,, b"], Directives(tags=("b", "a"))),
        ([b""], Directives()),
        ([b"a,b,c,d,e,f,g,h"], Directives(tags=tuple("abcdefgh"))),
        ([b"a,b,c,d,e,f,g,h,i"], NO_WRITE),
        ([b"a", b"x" * 65], NO_WRITE),
        ([b"a\tb"], NO_WRITE),
        ([b"\xff"], NO_WRITE),
    ],
)
def test_tags_are_read(values: list[bytes], wishes: Directives) -> None:
    """Tags are printable, each counts once; an answer with one that is none, or with too many, is not stored."""
    assert wishes == wish(*[(b"x-coo-tags", value) for value in values])


@pytest.mark.parametrize(
    ("fields", "wishes"),
    [
        ([(b"pragma", b"no-cache")], Directives(no_cache=True)),
        ([(b"pragma", b"x, No-Cache")], Directives(no_cache=True)),
        ([(b"pragma", b"?")], Directives(no_cache=True)),
        ([(b"pragma", b"x=y")], Directives()),
        ([(b"pragma", b"")], Directives()),
        ([(b"pragma", b"no-cache"), (b"cache-control", b"max-age=5")], Directives(max_age=5)),
        ([(b"cache-control", b"no-store"), (b"cache-control", b"max-age=5")], Directives(no_store=True, max_age=5)),
    ],
)
def test_pragma_speaks_where_cache_control_is_silent(fields: list[tuple[bytes, bytes]], wishes: Directives) -> None:
    """`Pragma: no-cache` counts without Cache-Control only (RFC 9111 section 5.4)."""
    assert wishes == wish(*fields)


def test_what_callers_may_not_is_ignored() -> None:
    """A control that the operator does not list counts for nothing, garbled or not, and leaves the others alone."""
    fields = [
        (b"cache-control", b"no-store, max-age=5, max-stale"),
        (b"pragma", b"no-cache"),
        (b"x-coo-cache", b"?"),
        (b"x-coo-ttl", b"?"),
        (b"x-coo-namespace", b""),
        (b"x-coo-tags", b"\xff"),
    ]

    assert Directives() == wish(*fields, policy=may(CallerPolicy(controls=())))
    assert Directives(max_age=5) == wish(*fields, policy=may(CallerPolicy(controls=("max-age",))))
    assert Directives() == wish(fields[1], policy=may(CallerPolicy(controls=("no-store",))))
    assert Directives(ttl=5) == wish((b"x-coo-ttl", b"5"), policy=may(CallerPolicy(controls=("x-coo-ttl",))))


def test_callers_bounds_are_the_operators() -> None:
    """How many tags and how long a name is, is configuration."""
    policy = may(CallerPolicy(max_tags=1, max_name_length=3))

    assert Directives(tags=("abc",)) == wish((b"x-coo-tags", b"abc"), policy=policy)
    assert NO_WRITE == wish((b"x-coo-tags", b"abc,d"), policy=policy) == wish((b"x-coo-tags", b"abcd"), policy=policy)
    assert OFF == wish((b"x-coo-namespace", b"abcd"), policy=policy)


@pytest.mark.parametrize(
    ("fields", "wishes"),
    [
        ([(b"cf-aig-skip-cache", b"true")], OFF),
        ([(b"cf-aig-cache-ttl", b"3600")], Directives(ttl=100)),
        ([(b"helicone-cache-enabled", b"true"), (b"helicone-cache-seed", b"s1")], Directives(namespace="s1")),
        ([(b"helicone-cache-save", b"true")], Directives(no_cache=True)),
        ([(b"x-portkey-cache-force-refresh", b"1")], OFF),
        ([(b"x-portkey-cache-namespace", b"a"), (b"x-coo-namespace", b"b")], OFF),
        ([(b"x-bt-use-cache", b"auto"), (b"x-bt-cache-ttl", b"9"), (b"x-coo-ttl", b"8")], Directives(ttl=8)),
        ([(b"x-openrouter-cache", b"false"), (b"x-coo-cache", b"on")], OFF),
    ],
)
def test_aliases_steer_as_our_own(fields: list[tuple[bytes, bytes]], wishes: Directives) -> None:
    """Another gateway's field counts beside ours, under the same bounds; a value that nobody knows switches off."""
    assert wishes == wish(*fields, policy=COMPAT)


def test_aliases_need_the_same_permission() -> None:
    """What callers may not say in our words they may not say in others' either."""
    policy = replace(COMPAT, callers=CallerPolicy(controls=("x-coo-ttl",)))
    fields = [(b"cf-aig-skip-cache", b"true"), (b"cf-aig-cache-ttl", b"60"), (b"cf-aig-cache-key", b"k")]

    assert Directives(ttl=60) == wish(*fields, policy=policy)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"cache-control", b"pragma", *(name.encode() for name in NAMES)]),
            st.sampled_from([b"off", b"read", b"7", b"eu", b"max-age=5"]) | st.binary(max_size=20),
        ),
        max_size=6,
    )
)
def test_any_fields_are_read(fields: list[tuple[bytes, bytes]]) -> None:
    """No bytes raise; a lifetime is within its bound and every name is one; whatever is added, nothing is loosened."""
    wishes = wish(*fields)

    assert wishes.ttl is None or 0 < wishes.ttl <= POLICY.ttl_seconds
    assert "" == wishes.namespace or is_name(wishes.namespace, 64)
    assert all(is_name(tag, 64) for tag in wishes.tags)
    assert wish(*fields, (b"x-coo-cache", b"off")).no_store
    assert wish(*fields, (b"x-coo-cache", b"on")).no_store == (wishes.no_store)


@pytest.mark.parametrize("name", NAMES)
@given(value=st.binary(max_size=12).filter(lambda value: not value.isascii()))
def test_garbage_keeps_the_answer_out(name: str, value: bytes) -> None:
    """A field of ours that no reading makes sense of never leads to an answer that is stored where it was not meant."""
    wishes = wish((name.encode(), value))
    meant = (wishes.namespace or ",".join(wishes.tags)).replace(" ", "").isprintable()

    assert wishes.no_store or wishes.no_write or (name in {"x-coo-namespace", "x-coo-tags"} and meant)


@pytest.mark.parametrize(
    ("value", "wishes"),
    [
        (b"max-age=60", AnswerWishes(ttl=60)),
        (b"max-age=9999999999", AnswerWishes(ttl=2**31)),
        (b"no-store", AnswerWishes(no_store=True)),
        (b"no-cache", AnswerWishes(no_store=True)),
        (b"no-store=?0, max-age=5", AnswerWishes(ttl=5)),
        (b"private, public", AnswerWishes(private=True)),
        (b"max-age=0", AnswerWishes(ttl=0, no_store=True)),
        (b'tags=("a" b "a"), x=1', AnswerWishes(tags=("a", "b"))),
        (b'tags="docs"', AnswerWishes(tags=("docs",))),
        (b"tags=()", AnswerWishes()),
        (
            b"max-age=1, stale-while-revalidate=2, stale-if-error=3",
            AnswerWishes(ttl=1, stale_while_revalidate=2, stale_if_error=3),
        ),
        (
            b"must-revalidate, stale-if-error=3",
            AnswerWishes(stale_while_revalidate=0, stale_if_error=0),
        ),
    ],
)
def test_targeted_control_is_read(value: bytes, wishes: AnswerWishes) -> None:
    """Each member of Coo-Cache-Control has its meaning, and unknown ones have none."""
    assert wishes == said(value)


@pytest.mark.parametrize(
    "value",
    [
        *(b"max-age=", b"No-Store", b"max-age=60,", b"max-age=60 no-store", b"\xff", b"max-age=x", b'max-age="60"'),
        *(b"max-age=-1", b"max-age=1.5", b"max-age", b"tags=1", b'tags=("")', b'tags=("a" 1)', b'tags=(" a")', b"tags"),
        *(b'tags=("%b")' % (b"x" * 201), b"tags=(%b)" % b" ".join(b"t%d" % each for each in range(65))),
    ],
)
def test_garbled_control_keeps_the_answer_out(value: bytes) -> None:
    """A field that does not parse, a lifetime that is none, and tags by which it could not be purged say no-store."""
    assert said(value).no_store


@pytest.mark.parametrize("value", [b"x", b"-1", b"1.5", b'"9"', b"?1"])
def test_garbled_grace_is_none(value: bytes) -> None:
    """A stale time that is no time is no time at all, and does not touch the rest."""
    told = said(b"max-age=9, stale-while-revalidate=%b, stale-if-error=%b" % (value, value))

    assert AnswerWishes(ttl=9, stale_while_revalidate=0, stale_if_error=0) == told


@pytest.mark.parametrize(
    ("controls", "wishes"),
    [
        ([], AnswerWishes()),
        ([b"max-age=60, s-maxage=5, no-cache, stale-if-error=9"], AnswerWishes()),
        ([b"public", b"No-Store"], AnswerWishes(no_store=True)),
        ([b'private="x"'], AnswerWishes(private=True)),
        ([b"must-revalidate"], AnswerWishes(stale_while_revalidate=0, stale_if_error=0)),
        ([b"proxy-revalidate"], AnswerWishes(stale_while_revalidate=0, stale_if_error=0)),
        ([b"public", b"\xff"], AnswerWishes(no_store=True)),
        ([b'private="', b'"'], AnswerWishes(no_store=True)),
    ],
)
def test_cache_control_forbids_and_allows_nothing(controls: list[bytes], wishes: AnswerWishes) -> None:
    """Of an answer's Cache-Control only what forbids counts, in whichever of its fields it stands."""
    assert wishes == answer_wishes([(b"Cache-Control", each) for each in controls])


def test_targeted_control_takes_the_place_of_the_other() -> None:
    """With Coo-Cache-Control what Cache-Control says is for others; an empty one is as good as none (RFC 9213)."""
    no_store = (b"cache-control", b"no-store")

    assert AnswerWishes(ttl=5) == answer_wishes([no_store, (b"coo-cache-control", b"max-age=5")])
    assert AnswerWishes(no_store=True) == answer_wishes([no_store, (b"coo-cache-control", b" ")])
    assert AnswerWishes(ttl=5, tags=("a",)) == answer_wishes(
        [(b"coo-cache-control", b"max-age=5"), (b"COO-Cache-Control", b"tags=a")]
    )


@given(st.lists(st.tuples(st.sampled_from([b"cache-control", b"coo-cache-control"]), st.binary(max_size=40))))
def test_any_answer_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    """No bytes raise, and no time is negative."""
    wishes = answer_wishes(headers)

    assert all(each is None or each >= 0 for each in (wishes.ttl, wishes.stale_while_revalidate, wishes.stale_if_error))


@pytest.mark.parametrize(
    ("wishes", "answer", "handler", "ttl"),
    [
        (Directives(), AnswerWishes(), None, 100),
        (Directives(ttl=5), AnswerWishes(), None, 5),
        (Directives(), AnswerWishes(ttl=900), None, 900),
        (Directives(), AnswerWishes(ttl=900), 800.0, 800),
        (Directives(ttl=50), AnswerWishes(ttl=900), None, 50),
        (Directives(ttl=50), AnswerWishes(ttl=20), None, 20),
        (Directives(ttl=50), AnswerWishes(), 10.0, 10),
        (Directives(no_store=True), AnswerWishes(ttl=900), 800.0, 0),
        (Directives(no_write=True), AnswerWishes(), None, 0),
        (Directives(), AnswerWishes(no_store=True), 800.0, 0),
        (Directives(no_cache=True, max_age=0), AnswerWishes(), None, 100),
        (Directives(), AnswerWishes(age=99), None, 100),
        (Directives(), AnswerWishes(age=100), None, 0),
        (Directives(), AnswerWishes(ttl=900, age=100), None, 900),
        (Directives(ttl=50), AnswerWishes(ttl=900, age=100), None, 0),
    ],
)
def test_lifetime_is_agreed_on(wishes: Directives, answer: AnswerWishes, handler: float | None, ttl: float) -> None:
    """The handler's lifetime counts before the answer's, that before the policy's; a request shortens any of them."""
    assert ttl == effective_ttl(POLICY, wishes, answer, handler)


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ([b"30"], 30.0),
        ([b" 030 "], 30.0),
        ([b"9" * 30], 2.0**31),
        *(([value], float("inf")) for value in (b"", b"-1", b"1.0", b"a", b"0, 0", b"7;a=b", b"\xb2")),
        ([b"0", b"0"], float("inf")),
    ],
)
@pytest.mark.parametrize("others", [[], [(b"coo-cache-control", b"max-age=9")], [(b"cache-control", b"private")]])
def test_an_answer_has_its_age(values: list[bytes], age: float, others: list[tuple[bytes, bytes]]) -> None:
    """One whole number is how many seconds old an answer was when it came, and whatever else is said is too old."""
    told = answer_wishes([*others, *((b"Age", value) for value in values)])

    assert age == told.age
    assert answer_wishes(others) == replace(told, age=0.0)


def test_grace_is_agreed_on() -> None:
    """How long an answer may be stale is for the handler, then for the answer, then for the policy to say."""
    policy = CachePolicy(stale_while_revalidate_seconds=1, stale_if_error_seconds=2)
    answer = AnswerWishes(stale_while_revalidate=0, stale_if_error=30)

    assert (1, 2) == effective_grace(policy, AnswerWishes(), revalidate=None, error=None)
    assert (0, 30) == effective_grace(policy, answer, revalidate=None, error=None)
    assert (4, 0) == effective_grace(policy, answer, revalidate=4, error=0)


def test_tags_come_from_all_sides() -> None:
    """The request's, the answer's and the handler's tags are one list without repetition."""
    assert ("a", "b", "c") == effective_tags(Directives(tags=("a",)), AnswerWishes(tags=("b", "a")), ["c", "b"])


@pytest.mark.parametrize(("text", "expected"), [("a b", True), ("", False), (" a", False), ("a\n", False), ("ä", True)])
def test_names_are_told(text: str, *, expected: bool) -> None:
    """A name is printable and has neither outer space nor more characters than it may."""
    assert expected == is_name(text)
    assert is_name("x" * 200)
    assert not is_name("x" * 201)
