"""What every ranker must keep: isolation of candidates, exact caching, no look-ahead, and training equal to serving."""

# shape suffixes are upper case

from abc import ABC, abstractmethod
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.random import Generator, default_rng

from fourfold.features.inputs import Candidates, Counts, Floats, History, IdField, Ids, Rows, Schema, Sequences
from fourfold.models.ranker import Ranker
from fourfold.scoring.engine import ScoringEngine

R = TypeVar("R", bound=Rows)

# Every ranker's class runs the inherited property, which hypothesis would take for one test on changing objects.
PROPERTY = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.differing_executors])

SCHEMA = Schema(
    item=(IdField(name="item", buckets=30), IdField(name="topics", buckets=10, width=3)),
    viewer=(IdField(name="country", buckets=5), IdField(name="interests", buckets=8, width=2)),
    context=(IdField(name="tab", buckets=4), IdField(name="device", buckets=3)),
    early=("age", "length"),
    late=("views", "likes", "affinity"),
    actions=("click", "long_view", "like"),
    values=("click", "like"),
    passive=(True, True, False),
    positive=(True, True, True),
)
BARE = replace(SCHEMA, item=SCHEMA.item[:1], viewer=(), context=(), early=(), late=(), values=(), passive=(True, True, True))


def rows_of(rng: Generator, count: int, schema: Schema) -> Rows:
    """Random rows: padding, unknown ids and missing numbers included."""
    ids = [rng.integers(0, f.buckets + 2, (count, f.width)) for f in schema.item]
    numbers = [rng.lognormal(size=(count, width)) for width in (len(schema.early), len(schema.late), 3)]
    for values in numbers:
        values[rng.random(values.shape) < 0.2] = np.nan
    early, late, moments = (values.astype(np.float32) for values in numbers)
    items = np.concatenate(ids, axis=1).astype(np.int32)
    context = np.zeros((count, len(schema.context)), np.int32)
    for column, field in enumerate(schema.context):
        context[:, column] = rng.integers(0, field.buckets + 2, count)
    return Rows(items=items, context=context, early=early, late=late, moments=moments)


def seen_of(requests: list[int]) -> Counts:
    """`seen` of a window whose requests showed so many items each."""
    sizes = np.array(requests, dtype=np.int64)
    return np.repeat(np.cumsum(sizes) - sizes, sizes)


def history_of(rng: Generator, requests: list[int], schema: Schema) -> History:
    seen = seen_of(requests)
    actions = (rng.random((len(seen), len(schema.actions))) < 0.3).astype(np.float32)
    values = rng.lognormal(size=(len(seen), len(schema.values))).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    return History(**vars(rows_of(rng, len(seen), schema)), actions=actions, values=values, seen=seen)


def candidates_of(rng: Generator, count: int, schema: Schema) -> Candidates:
    return Candidates(**vars(rows_of(rng, count, schema)))


def viewers_of(rng: Generator, count: int, schema: Schema) -> Ids:
    parts = [rng.integers(0, f.buckets + 2, (count, f.width), dtype=np.int32) for f in schema.viewer]
    return np.concatenate([np.zeros((count, 0), np.int32), *parts], axis=1)


def sequences_of(rng: Generator, windows: list[list[int]], schema: Schema) -> Sequences:
    """Random training rows, one window of requests per viewer."""
    histories = [history_of(rng, requests, schema) for requests in windows]
    joined = {f.name: np.concatenate([getattr(h, f.name) for h in histories]) for f in fields(History)}
    return Sequences(
        **joined,
        lengths=np.array([len(h) for h in histories]),
        viewers=viewers_of(rng, len(windows), schema),
        labels=joined["actions"],
        weight=np.ones(len(joined["seen"]), np.float32),
    )


def take(rows: R, which: slice | Counts | list[int]) -> R:
    """Some of the rows."""
    return type(rows)(**{f.name: getattr(rows, f.name)[which] for f in fields(rows)})


def as_sequences(history: History, viewer: Ids, candidate: Candidates) -> Sequences:
    """The history with one candidate as its last entry, without any cache: what the candidate's score ought to be."""
    blank = np.zeros((1, history.actions.shape[1]), np.float32)
    no_values = np.full((1, history.values.shape[1]), np.nan, np.float32)
    last = History(**vars(candidate), actions=blank, values=no_values, seen=np.array([len(history)]))
    joined = {f.name: np.concatenate([getattr(history, f.name), getattr(last, f.name)]) for f in fields(History)}
    count = len(history) + 1
    return Sequences(
        **joined,
        lengths=np.array([count]),
        viewers=viewer[None],
        labels=np.zeros((count, blank.shape[1]), np.float32),
        weight=np.ones(count, np.float32),
    )


def logits_of(model: Ranker, sequences: Sequences) -> Floats:
    with torch.inference_mode():
        logits: Floats = model(sequences).numpy()
    return logits


requests_lists = st.lists(st.integers(1, 4), max_size=8)


class RankerContract(ABC):
    """Inherit, give `make`, and every promise is checked."""

    @abstractmethod
    def make(self, schema: Schema) -> Ranker:
        """A new ranker for a schema."""

    def fitted(self, schema: Schema = SCHEMA) -> Ranker:
        """A ranker in double precision whose every weight matters: none is at its first, often neutral, value."""
        rng, model = default_rng(5), self.make(schema)
        model.fit_inputs(sequences_of(rng, [[3, 2, 4]] * 20, schema))
        torch.manual_seed(6)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        return model.double().eval()

    @given(st.lists(requests_lists, min_size=1, max_size=5), st.integers(0, 99))
    @PROPERTY
    def test_training_equals_serving(self, windows: list[list[int]], seed: int) -> None:
        rng, model = default_rng(seed), self.fitted()
        sequences = sequences_of(rng, [*windows, [2, 1, 3]], SCHEMA)
        trained = logits_of(model, sequences)
        starts = np.cumsum(sequences.lengths) - sequences.lengths
        for viewer, start, length in zip(sequences.viewers, starts, sequences.lengths, strict=True):
            history = take(_history(sequences), slice(start, start + length))
            for entry in rng.permutation(length)[:4]:
                state = model.encode(take(history, slice(0, history.seen[entry])))
                candidate = _candidates(take(history, [entry]))
                served = model.score_logits(state, viewer, candidate).detach().numpy()
                np.testing.assert_allclose(served[0], trained[start + entry], atol=1e-10)

    @given(requests_lists, st.integers(0, 12), st.integers(1, 13), st.integers(0, 99))
    @PROPERTY
    def test_candidates_are_isolated_and_equal_the_uncached_oracle(
        self, requests: list[int], count: int, chunk: int, seed: int
    ) -> None:
        rng, model = default_rng(seed), self.fitted()
        history, candidates = history_of(rng, requests, SCHEMA), candidates_of(rng, count, SCHEMA)
        viewer = viewers_of(rng, 1, SCHEMA)[0]
        state = model.encode(history)
        together = model.score_logits(state, viewer, candidates).detach().numpy()
        assert together.shape == (count, 3)
        chosen = rng.permutation(count)[: rng.integers(0, count + 1)]
        some = model.score_logits(state, viewer, take(candidates, chosen)).detach().numpy()
        np.testing.assert_allclose(some, together[chosen], atol=1e-12)
        for index in chosen:
            alone = logits_of(model, as_sequences(history, viewer, take(candidates, [index])))[-1]
            np.testing.assert_allclose(together[index], alone, atol=1e-10)
        engine = ScoringEngine(model, chunk)
        expected = 1 / (1 + np.exp(-together))
        np.testing.assert_allclose(engine.score(engine.encode(history), viewer, candidates), expected, atol=1e-6)

    @given(requests_lists, st.integers(0, 30), st.integers(0, 99))
    @PROPERTY
    def test_extending_equals_encoding_and_leaves_the_old_state_alone(self, requests: list[int], cut: int, seed: int) -> None:
        rng, model = default_rng(seed), self.fitted()
        history = history_of(rng, requests, SCHEMA)
        first = model.encode(take(history, slice(0, cut)))
        before = [tensor.clone() for tensor in first.tensors]
        extended, whole = model.extend(first, take(history, slice(cut, None))), model.encode(history)
        assert extended.entries == whole.entries == len(history)
        for ours, theirs in zip(extended.tensors, whole.tensors, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0)
        assert all(torch.equal(a, b) for a, b in zip(before, first.tensors, strict=True))

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 99))
    @PROPERTY
    def test_the_order_within_a_request_does_not_matter(self, requests: list[int], seed: int) -> None:
        rng, model = default_rng(seed), self.fitted()
        sequences = sequences_of(rng, [requests], SCHEMA)
        history, viewer = _history(sequences), sequences.viewers[0]
        order = np.lexsort((rng.random(len(history)), history.seen))
        candidates = candidates_of(rng, 3, SCHEMA)
        scores = [
            model.score_logits(model.encode(h), viewer, candidates).detach().numpy() for h in (history, take(history, order))
        ]
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-10)
        shuffled = replace(sequences, **{f.name: getattr(sequences, f.name)[order] for f in fields(History)})
        np.testing.assert_allclose(logits_of(model, shuffled), logits_of(model, sequences)[order], atol=1e-10)

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 99))
    @PROPERTY
    def test_an_entry_knows_nothing_of_its_outcome_its_request_or_the_future(self, requests: list[int], seed: int) -> None:
        rng, model = default_rng(seed), self.fitted()
        sequences = sequences_of(rng, [[2], requests, [1, 2]], SCHEMA)
        entry = int(rng.integers(2, 2 + sum(requests)))
        later = np.arange(len(sequences)) >= 2 + sequences.seen[entry]
        other = sequences_of(default_rng(seed + 1), [[2], requests, [1, 2]], SCHEMA)
        changed = {}
        for f in fields(Rows):
            changes = later & (np.arange(len(sequences)) != entry)
            changed[f.name] = np.where(changes[:, None], getattr(other, f.name), getattr(sequences, f.name))
        actions = np.where(later[:, None], 1 - sequences.actions, sequences.actions)
        changed_sequences = replace(sequences, **changed, actions=actions, labels=1 - sequences.labels)
        np.testing.assert_allclose(logits_of(model, changed_sequences)[entry], logits_of(model, sequences)[entry], atol=1e-12)

    def test_what_is_seen_matters(self) -> None:
        rng, model = default_rng(1), self.fitted()
        history, candidates = history_of(rng, [2, 3, 1], SCHEMA), candidates_of(rng, 2, SCHEMA)
        viewer = np.array([2, 3, 4], np.int32)
        base = model.score_logits(model.encode(history), viewer, candidates)
        for name in ("items", "actions"):
            for entry in range(len(history)):
                values = getattr(history, name).copy()
                values[entry] = 1 - values[entry] if name == "actions" else values[entry] % 9 + 2
                changed = model.encode(replace(history, **{name: values}))
                assert (model.score_logits(changed, viewer, candidates) - base).abs().min() > 1e-7
        for other in (
            replace(candidates, items=candidates.items % 9 + 2),
            replace(candidates, early=np.nan_to_num(candidates.early) + 1),
            replace(candidates, late=np.nan_to_num(candidates.late) + 1),
            replace(candidates, moments=np.nan_to_num(candidates.moments) + 1),
        ):
            moved = model.score_logits(model.encode(history), viewer, other)
            assert (moved - base).abs().min() > 1e-7
        moved = model.score_logits(model.encode(history), viewer % 5 + 1, candidates)
        assert (moved - base).abs().min() > 1e-7

    def test_single_precision_keeps_the_promises_to_1e_5(self) -> None:
        rng, model = default_rng(2), self.fitted().float()
        history, candidates = history_of(rng, [4] * 75, SCHEMA), candidates_of(rng, 40, SCHEMA)
        viewer, engine = np.array([2, 3, 4], np.int32), ScoringEngine(model, chunk=16)
        state = engine.extend(engine.encode(take(history, slice(0, 290))), take(history, slice(290, None)))
        cached = engine.score(state, viewer, candidates)
        assert cached.dtype == np.float32
        order = rng.permutation(40)[:25]
        np.testing.assert_allclose(engine.score(state, viewer, take(candidates, order)), cached[order], atol=1e-5)
        exact = model.double()
        for index in range(0, 40, 8):
            logits = logits_of(exact, as_sequences(history, viewer, take(candidates, [index])))[-1]
            np.testing.assert_allclose(cached[index], 1 / (1 + np.exp(-logits)), atol=1e-5)

    @pytest.mark.parametrize("schema", [SCHEMA, BARE], ids=["full", "bare"])
    def test_nothing_known_is_no_reason_to_fail(self, schema: Schema) -> None:
        model, rng = self.fitted(schema), default_rng(3)
        viewer = viewers_of(rng, 1, schema)[0] * 0
        blank = candidates_of(rng, 2, schema)
        blank = replace(blank, items=blank.items * 0, early=blank.early * np.nan, late=blank.late * np.nan)
        blank = replace(blank, moments=blank.moments * np.nan)
        empty = history_of(rng, [], schema)
        engine = ScoringEngine(model)
        for history in (empty, history_of(rng, [1], schema)):
            state = engine.encode(history)
            scores = engine.score(state, viewer, blank)
            assert scores.shape == (2, 3)
            assert np.isfinite(scores).all()
            assert engine.score(state, viewer, take(blank, [])).shape == (0, 3)
        assert logits_of(model, sequences_of(rng, [[]], schema)).shape == (0, 3)

    def test_training_mode_draws_from_torch_and_gives_finite_gradients_to_every_weight(self) -> None:
        model, rng = self.fitted().train(), default_rng(4)
        sequences = sequences_of(rng, [[2, 3, 1], [1], [4, 4]] * 4, SCHEMA)
        torch.manual_seed(0)
        logits, auxiliary = model.forward_with_auxiliary(sequences)
        torch.manual_seed(0)
        assert torch.equal(logits, model(sequences))
        assert not torch.equal(logits, model(sequences))
        parts = [logits] if auxiliary is None else [logits, auxiliary]
        torch.autograd.backward(torch.cat(parts).square().sum())
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_inputs_that_do_not_fit_the_schema_are_named(self) -> None:
        model, rng = self.make(SCHEMA).eval(), default_rng(5)
        history, candidates = history_of(rng, [2], SCHEMA), candidates_of(rng, 2, SCHEMA)
        viewer, state = np.zeros(3, np.int32), model.empty_state()
        with pytest.raises(ValueError, match=r"late has shape \(2, 2\); the schema asks for \(2, 3\)"):
            model.score_logits(state, viewer, replace(candidates, late=candidates.late[:, :2]))
        with pytest.raises(ValueError, match="actions has shape"):
            model.encode(replace(history, actions=history.actions[:, :1]))
        with pytest.raises(ValueError, match="viewers have shape"):
            model.score_logits(state, viewer[:1], candidates)
        with pytest.raises(ValueError, match=r"seen\[1\] is 2"):
            model.encode(replace(history, seen=np.array([0, 2])))
        with pytest.raises(ValueError, match=r"seen\[0\] is 1"):
            model(replace(sequences_of(rng, [[1], [1]], SCHEMA), seen=np.array([1, 0])))


def _history(sequences: Sequences) -> History:
    return History(**{f.name: getattr(sequences, f.name) for f in fields(History)})


def _candidates(history: History) -> Candidates:
    return Candidates(**{f.name: getattr(history, f.name) for f in fields(Candidates)})
