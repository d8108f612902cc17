"""core/batch.py, core/shares.py and formats/portions.py: taken apart and put together, nothing is lost or moved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.batch import MOST_INPUTS, Batch, make_batch
from coo_middleware.core.entry import Entry
from coo_middleware.core.outcome import Usage
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.shape import Shape
from coo_middleware.core.shares import add_counts, add_usage, share_counts, share_out, share_usage
from coo_middleware.formats import recognise
from tests.batches import DIALECTS, QUERY, Dialect
from tests.plans import HEADERS

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json

TEXTS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "été", " x", "日本"]), min_size=2, max_size=8)
WEIGHTS = st.lists(st.integers(0, 50), min_size=1, max_size=9)
NAMES = st.sampled_from(sorted(DIALECTS))


def open_batch(path: str, document: Document, policy: CachePolicy | None = None) -> Batch | None:
    """The batch that a request is."""
    route = recognise(path)
    assert route is not None
    target = Target(path.encode(), b"", HEADERS)
    return make_batch(*Planner(policy or CachePolicy()).plan_in_parts(route, target, json.dumps(document).encode()))


def batch_of(dialect: Dialect, texts: list[str]) -> Batch:
    batch = open_batch(dialect.path, dialect.ask(texts))
    assert batch is not None
    return batch


def answered(batch: Batch, dialect: Dialect, document: Document) -> Entry:
    """The entry that the upstream's answer to a document makes."""
    answer = dialect.answer(document)
    plan = batch.plan
    told = plan.format.read_body(answer).usage if isinstance(answer, dict) else None
    content = json.dumps(answer).encode()
    return Entry(plan.digest, 100.0, 10.0, "p", "k", "", plan.format.name, Shape(stream=False), told, (), content)


def wanted(dialect: Dialect, texts: list[str]) -> Json:
    """What the upstream would say to the whole request."""
    return dialect.answer(dialect.ask(texts))


@given(NAMES, TEXTS, st.data())
def test_what_is_stored_and_what_is_asked_make_the_answer_to_the_whole(
    name: str, texts: list[str], data: st.DataObject
) -> None:
    """Whatever inputs are stored, the answer equals the upstream's to the whole: places, order, usage, duplicates."""
    dialect = DIALECTS[name]
    batch = batch_of(dialect, texts)
    known = data.draw(st.sets(st.sampled_from(texts)))
    stored: dict[bytes, Entry] = {}
    if known:
        asked = batch.portions.pick(batch.document, [texts.index(text) for text in sorted(known)])
        earlier = replace(
            batch, document=asked, digests=tuple(batch.digests[texts.index(text)] for text in sorted(known))
        )
        stored = {entry.digest: entry for entry in earlier.take_apart(answered(earlier, dialect, asked))}

    rest = batch.choose(stored, 101.0)
    merged = batch.merge(stored)

    assert known == {text for text in texts if batch.digests[texts.index(text)] in stored}
    if known == set(texts):
        assert rest is None
        assert merged is not None
        assert wanted(dialect, texts) == json.loads(merged.content)
    elif rest is not None:
        content = rest.complete(json.dumps(dialect.answer(rest.left.document)).encode())
        assert merged is None
        assert len(set(texts) - known) == len(rest.left.digests)
        assert wanted(dialect, texts) == json.loads(content or b"")
    else:
        assert (known, len(set(texts))) == (set(), len(texts))


@given(NAMES, TEXTS)
def test_an_input_of_a_batch_has_the_key_of_a_request_for_it_alone(name: str, texts: list[str]) -> None:
    """Each input's digest is that of the request that asks for it alone, and two inputs share none."""
    dialect = DIALECTS[name]
    batch = batch_of(dialect, texts)
    singles = batch.portions.split(dialect.ask(texts)) or []
    route = recognise(dialect.path)
    assert route is not None
    target = Target(dialect.path.encode(), b"", HEADERS)
    alone = [Planner(CachePolicy()).plan(route, target, json.dumps(single).encode()).digest for single in singles]

    assert tuple(alone) == batch.digests
    assert len(set(texts)) == len(batch.distinct)
    assert batch.plan.digest not in batch.digests


@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/embed"])
def test_a_text_alone_and_a_list_of_it_are_one_request(path: str) -> None:
    """`input: "a"`, `input: ["a"]` and the `a` of a batch have one key."""
    route = recognise(path)
    assert route is not None
    asked: list[Json] = ["a", ["a"]]
    contents = [json.dumps({"model": "m", "input": value}).encode() for value in asked]
    plans = [Planner(CachePolicy()).plan(route, Target(path.encode(), b"", HEADERS), content) for content in contents]
    batch = open_batch(path, {"model": "m", "input": ["b", "a"]})

    assert batch is not None
    assert {batch.digests[1]} == {plan.digest for plan in plans}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/embeddings", {"model": "m", "input": "a"}),
        ("/v1/embeddings", {"model": "m", "input": ["a"]}),
        ("/v1/embeddings", {"model": "m", "input": [1, 2, 3]}),
        ("/v1/embeddings", {"model": "m", "input": ["a", [1]]}),
        ("/v1/embeddings", {"model": "m", "input": [[1], []]}),
        ("/v1/embeddings", {"model": "m", "input": [{"text": "a"}, {"image": "u"}]}),
        ("/v1/embeddings", {"model": "m", "input": ["a", "b"], "late_chunking": True}),
        ("/v1/embeddings", {"model": "m", "input": ["a", "b"], "new_member": 1}),
        ("/v1/embeddings", {"model": "m", "input": [str(number) for number in range(MOST_INPUTS + 1)]}),
        ("/api/embeddings", {"model": "m", "prompt": "a"}),
        ("/v2/embed", {"model": "m", "texts": ["a", "b"], "images": ["u"]}),
        ("/v2/embed", {"model": "m", "inputs": [{"content": [{"type": "image_url"}]}, {"content": []}]}),
        ("/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "a"}, {"text": "b"}]}}),
        ("/v1beta/models/m:batchEmbedContents", {"requests": [{"content": {"parts": [{"inlineData": {}}]}}] * 2}),
        ("/v1/rerank", {"model": "jina-reranker-v3", "query": "q", "documents": ["a", "b"]}),
        ("/v1/rerank", {"model": "new-reranker", "query": "q", "documents": ["a", "b"]}),
        ("/v1/rerank", {"query": "q", "documents": ["a", "b"]}),
        ("/v1/rerank", {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 0}),
        ("/v1/rerank", {"model": "rerank-v3.5", "query": "q", "documents": [{"image": "u"}, "b"]}),
    ],
)
def test_what_cannot_be_taken_apart_stays_whole(path: str, document: Document) -> None:
    """One input, mixed kinds, tokens, images, inputs that are read together and members nobody knows stay whole."""
    assert open_batch(path, document) is None


@pytest.mark.parametrize(
    "policy", [CachePolicy(per_input=False), CachePolicy(mode="observe"), CachePolicy(enabled=False)]
)
def test_a_policy_keeps_requests_whole(policy: CachePolicy) -> None:
    """Where it is off, or nothing is served, no request is taken apart."""
    document: Document = {"model": "m", "input": ["a", "b"]}

    assert open_batch("/v1/embeddings", document, policy) is None
    assert open_batch("/v1/embeddings", document) is not None


def test_other_members_than_the_input_make_other_keys() -> None:
    """An embedding in other dimensions, or a score for another query, is not the one that is stored."""
    small = open_batch("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 8})
    large = open_batch("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 9})
    here = open_batch("/rerank", {"query": "q", "texts": ["a", "b"]})
    there = open_batch("/rerank", {"query": "r", "texts": ["a", "b"]})

    assert small is not None
    assert large is not None
    assert here is not None
    assert there is not None
    assert set() == set(small.digests) & set(large.digests)
    assert set() == set(here.digests) & set(there.digests)


def test_vectors_in_another_order_go_to_their_inputs() -> None:
    """The index of an item counts, not its place in the answer."""
    batch = batch_of(DIALECTS["openai"], ["a", "bb"])
    data: list[Json] = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    answers = batch.portions.divide(batch.document, {"data": data, "usage": {"prompt_tokens": 3}})

    assert [
        {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}},
        {"data": [{"index": 0, "embedding": [2.0]}], "usage": {"prompt_tokens": 2}},
    ] == answers


@pytest.mark.parametrize(
    "indexes", [[0, 0], [1, 2], [0, 5], [0, "1"], [0], [0, 1, 2], [None, 0], [0, None, 1]], ids=str
)
def test_an_answer_that_does_not_say_whose_its_vectors_are_is_not_taken_apart(indexes: list[Json]) -> None:
    """Indexes that are doubled, missing or none at all make an answer useless for its inputs."""
    batch = batch_of(DIALECTS["openai"], ["a", "bb"])
    data: list[Json] = [{"index": index, "embedding": [1.0]} for index in indexes]

    assert batch.portions.divide(batch.document, {"data": data}) is None


def test_an_index_of_nought_may_go_without_saying() -> None:
    """Google's JSON leaves out what is 0; where no item has an index, their order is that of the inputs."""
    batch = batch_of(DIALECTS["openai"], ["a", "bb"])
    left_out: list[Json] = [{"index": 1, "embedding": [2.0]}, {"embedding": [1.0]}]
    unsaid: list[Json] = [{"embedding": [1.0]}, {"embedding": [2.0]}]

    assert [{"data": [{"index": 0, "embedding": [1.0]}]}, {"data": [{"index": 0, "embedding": [2.0]}]}] == (
        batch.portions.divide(batch.document, {"data": left_out})
    )
    assert [{"data": [{"embedding": [1.0]}]}, {"data": [{"embedding": [2.0]}]}] == (
        batch.portions.divide(batch.document, {"data": unsaid})
    )


def test_vectors_of_two_models_are_not_joined() -> None:
    """An answer of another model, or in another kind of numbers, does not complete a stored one."""
    batch = batch_of(DIALECTS["openai"], ["a", "bb"])
    data: list[Json] = [{"index": 0, "embedding": [1.0]}]
    first: Document = {"model": "m-1", "data": data}
    second: Document = {"model": "m-2", "data": data}
    typed = batch_of(DIALECTS["cohere-types"], ["a", "bb"])
    floats: Document = {"embeddings": {"float": [[1.0]]}}
    bytes_too: Document = {"embeddings": {"float": [[1.0]], "int8": [[1]]}}

    assert batch.portions.join(batch.document, [first, second], 0) is None
    assert typed.portions.join(typed.document, [floats, bytes_too], 0) is None
    assert typed.portions.join(typed.document, [floats, floats], 0) is not None


def test_a_merged_entry_is_as_old_as_its_oldest_and_fresh_as_long_as_all() -> None:
    """The answer to the whole never claims to be younger, or to live longer, than any of its inputs."""
    dialect = DIALECTS["openai"]
    batch = batch_of(dialect, ["a", "bb"])
    first, second = batch.take_apart(answered(batch, dialect, batch.document))
    merged = batch.merge(
        {
            first.digest: replace(first, created=50.0, ttl=60.0, stale_if_error=5.0),
            second.digest: replace(second, stale_if_error=30.0),
        }
    )

    assert merged is not None
    assert (50.0, 60.0, 5.0, Usage(3, 0, estimated=True)) == (merged.created, merged.ttl, merged.grace, merged.usage)
    assert batch.plan.digest == merged.digest


def test_entries_that_do_not_belong_together_are_not_merged() -> None:
    """Inputs that were answered by two models, or of which one is missing, make no answer to the whole."""
    dialect = DIALECTS["openai"]
    batch = batch_of(dialect, ["a", "bb"])
    first, second = batch.take_apart(answered(batch, dialect, batch.document))
    other = replace(second, content=second.content.replace(b'"m-1"', b'"m-2"'))

    assert other.content != second.content
    assert batch.merge({first.digest: first, other.digest: other}) is None
    assert batch.merge({first.digest: first}) is None


def test_a_part_that_is_too_long_is_not_stored() -> None:
    """The longest entry is a bound on each input, and the answer to the whole may be as long as all of them."""
    document: Document = {"model": "m", "input": ["a", "bb"]}
    batch = open_batch("/v1/embeddings", document, CachePolicy(max_entry_bytes=1024))
    assert batch is not None
    data: list[Json] = [{"index": 0, "embedding": "x" * 2000}, {"index": 1, "embedding": "y"}]
    whole = replace(answered(batch, DIALECTS["openai"], document), content=json.dumps({"data": data}).encode())

    assert 2048 == batch.limit
    assert [batch.digests[1]] == [entry.digest for entry in batch.take_apart(whole)]


def test_an_answer_that_does_not_fit_is_stored_whole() -> None:
    """Nothing is lost where an answer cannot be taken apart: it is the entry of the whole request."""
    dialect = DIALECTS["openai"]
    batch = batch_of(dialect, ["a", "bb"])
    entry = replace(answered(batch, dialect, batch.document), content=b'{"data":[{"index":0,"embedding":[1.0]}]}')

    assert [entry] == batch.take_apart(entry)


@given(st.integers(0, 10**6), WEIGHTS)
def test_shares_add_up_and_are_in_proportion(total: int, weights: list[int]) -> None:
    """The sum over the parts is what was told, and no share is off by a whole one."""
    shares = share_out(total, weights)
    whole = sum(weights) or len(weights)

    assert total == sum(shares)
    assert all(
        abs(share - total * (weight if sum(weights) else 1) / whole) < 1
        for share, weight in zip(shares, weights, strict=True)
    )


@given(st.integers(0, 999), st.integers(0, 999), WEIGHTS)
def test_counts_of_any_depth_add_up(first: int, second: int, weights: list[int]) -> None:
    """What is told in objects and lists adds up to itself; what is no count stays as it is."""
    told: Json = {"a": first, "b": {"c": [{"kind": "TEXT", "n": second}]}, "v": "2", "on": True, "none": None}

    assert told == add_counts(share_counts(told, weights))


@given(st.integers(0, 999), WEIGHTS)
def test_usage_adds_up(total: int, weights: list[int]) -> None:
    """Usage shared out adds up to itself, unknown counts stay unknown, and a share is flagged as estimated."""
    shares = share_usage(Usage(total, 0), weights)

    assert Usage(total, 0, estimated=len(weights) > 1) == add_usage(shares)
    assert [None] * len(weights) == share_usage(None, weights)
    assert add_usage([*shares, None]) is None


def test_the_query_counts_with_each_document() -> None:
    """What a document costs to rank is its length and the query's."""
    batch = batch_of(DIALECTS["rerank"], ["a", "bbb"])

    assert [len(QUERY) + 1, len(QUERY) + 3] == batch.portions.weigh(batch.document)
