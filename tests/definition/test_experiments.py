"""Experiments as declared: who gets what and when, and what cannot be meant."""

import pytest

from fourfold.definition import DefinitionError, Deployment
from fourfold.definition.experiments import Experiment

FRESHER = 'holdout = 0.1\nvariants = { control = {}, treatment = { model = "v7" } }'
DUEL = 'kind = "interleave"\nvariants = { old = { model = "v6" }, new = { model = "v7" } }'


def declared(text: str) -> Experiment:
    return Deployment.from_toml(f"[feed.experiments.one]\n{text}").of("feed").experiments["one"]


def test_variants_share_what_the_holdout_leaves() -> None:
    assert declared(FRESHER).shares == {"control": 0.45, "treatment": 0.45}
    shares = declared("holdout = 0.1\nvariants = { a = {}, b = { share = 0.5 }, c = {} }").shares
    assert shares == pytest.approx({"a": 0.2, "b": 0.5, "c": 0.2})
    # What nobody has a share of stays out.
    assert declared("variants = { a = { share = 0.05 }, b = { share = 0.05 } }").shares == {"a": 0.05, "b": 0.05}
    assert declared("variants = { a = { share = 0.7 }, b = { share = 0.3 } }").shares == {"a": 0.7, "b": 0.3}


def test_what_the_others_are_compared_with() -> None:
    assert declared(FRESHER).control == "control"
    assert declared("variants = { new = { budget_ms = 5 }, control = {} }").control == "control"
    assert declared(DUEL).control == "old"


def test_it_runs_from_its_start_and_before_its_end() -> None:
    always = declared(FRESHER)
    assert always.runs(0)
    assert always.runs(1 << 51)
    assert always.period == (0, None)
    bounded = declared(FRESHER + "\nstart = 1970-01-01T00:00:05Z\nend = 1970-01-01T01:00:10.5+01:00")
    assert bounded.period == (5_000, 10_500)
    assert [bounded.runs(time) for time in (4_999, 5_000, 10_499, 10_500)] == [False, True, True, False]


def test_one_experiment_at_a_time() -> None:
    text = f"[feed.experiments.fresher]\n{FRESHER}\n%s\n[feed.experiments.duel]\n{DUEL}\n%s"
    both = Deployment.from_toml(text % ("end = 2026-01-01T00:00:00Z", "start = 2026-01-01T00:00:00Z")).of("feed")
    moment = 1_767_225_600_000
    at = [[name for name, one in both.experiments.items() if one.runs(time)] for time in (moment - 1, moment)]
    assert at == [["fresher"], ["duel"]]
    end, early, start = "end = 2026-01-01T00:00:00Z", "start = 2025-12-31T23:59:59Z", "start = 2026-01-01T00:00:00Z"
    for wrong in (("", ""), (end, early), ("", start)):
        with pytest.raises(DefinitionError, match=r"feed\.experiments\.duel: runs at the same time as fresher; write an `end`"):
            Deployment.from_toml(text % wrong)
    # Surfaces do not mind each other's.
    Deployment.from_toml(f"[feed.experiments.one]\n{FRESHER}\n[pymk.experiments.one]\n{FRESHER}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants = { control = {} }", r"one\.variants: .*at least 2"),
        ("holdout = 1.0\nvariants = { a = {}, b = {} }", r"one\.holdout: .*less than 1"),
        (
            "holdout = 0.2\nvariants = { a = { share = 0.5 }, b = { share = 0.4 } }",
            r"one\.variants: shares .* 1\.1",
        ),
        ("variants = { a = { share = 1.0 }, b = {} }", r"one\.variants: the given shares leave nothing"),
        ("variants = { a = { share = 0.0 }, b = {} }", r"one\.variants\.a\.share: .*more than 0"),
        ('variants = { a = {}, b = { model = "latest" } }', r"one\.variants\.b\.model"),
        ('variants = { a = {}, b = { ranker = "v7" } }', r"one\.variants\.b\.ranker: .*check the spelling"),
        ("variants = { a = {}, holdout = {} }", r"one\.variants\.holdout: is the name of those outside"),
        ("variants = { A = {}, b = {} }", r"one\.variants\.A"),
        ('kind = "bandit"\nvariants = { a = {}, b = {} }', r"one\.kind: .*'ab' or 'interleave'"),
        ('kind = "interleave"\nvariants = { a = {}, b = {} }', r"one\.variants\.b\.model: is that of a; write another version"),
        ('kind = "interleave"\nvariants = { a = {}, b = {model="v1"}, c = {model="v2"} }', r"one\.variants: 3 cannot"),
        ('kind = "interleave"\nvariants = { a = {}, b = {model="v1", share=0.1} }', r"one\.variants\.b\.share: means nothing"),
        (f"{FRESHER}\nstart = 2026-01-01T00:00:00", r"one\.start: .*time zone; write 2026-01-01T00:00:00Z"),
        (f"{FRESHER}\nstart = 2026-01-01T00:00:00Z\nend = 2026-01-01T00:00:00Z", r"one\.end: does not lie after the start"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=r"deployment\.feed\.experiments\." + message):
        declared(text)


def test_the_versions_that_are_named() -> None:
    bounds = "end = 2026-01-01T00:00:00Z", "start = 2026-01-01T00:00:00Z"
    text = f"[feed.experiments.one]\n{FRESHER}\n{bounds[0]}\n[feed.experiments.two]\n{DUEL}\n{bounds[1]}"
    assert Deployment.from_toml(text).of("feed").experiment_models == {"v6", "v7"}
    assert Deployment().of("feed").experiment_models == frozenset()
