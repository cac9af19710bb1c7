"""What is counted of a request, under which labels; over several processes too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fourfold.api.metrics import FOLDER, MAX_VALUES, Metrics, cause_of, outcome_of, shared_folder
from fourfold.pipeline.slate import Degradation, Slate, SlateItem, StageTrace, Trace

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: bytes) -> Samples:
    """The samples of a scrape, by name and labels."""
    families = text_string_to_metric_families(text.decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def made(
    *degradations: Degradation, dropped: dict[str, int] | None = None, stages: tuple[str, ...] = ("sources", "ranker")
) -> Slate:
    """A slate with one item of two sources; each stage took a quarter of a second."""
    item = SlateItem(item="p1", score=1.0, probabilities={}, sources=["trending", "in_network"], reason="")
    trace = Trace(
        stages=[StageTrace(stage=stage, ms=250.0, taken=0, given=7) for stage in stages],
        dropped=dropped or {},
        proposed={"trending": 20},
        history=0,
        state_age_ms=None,
        viewer_age_ms=None,
        offset=0,
    )
    return Slate(
        request="r",
        surface="feed",
        viewer="m0",
        time=0,
        mode="online",
        definition="",
        model=None,
        items=[item],
        degradations=list(degradations),
        trace=trace,
    )


def degradation(cause: str, stage: str = "ranker") -> Degradation:
    return Degradation(stage=stage, cause=cause, effect="")


def test_a_slate_is_counted_by_what_its_trace_says() -> None:
    metrics, route = Metrics(), "/v1/{surface}/recommend"
    metrics.answered(route, "feed", 200, 0.3, made(dropped={"seen": 3, "seen meanwhile": 2}))
    metrics.answered(route, "feed", 200, 0.2, made(degradation("no model is trained yet")))
    found = read(metrics.text())
    for outcome, total in (("ok", 0.3), ("degraded", 0.2)):
        labels = {"route": route, "surface": "feed", "outcome": outcome}
        assert value(found, "fourfold_request_seconds_count", **labels) == 1
        assert value(found, "fourfold_request_seconds_sum", **labels) == total
    assert value(found, "fourfold_stage_seconds_sum", surface="feed", stage="sources", outcome="ok") == 0.5
    assert value(found, "fourfold_stage_seconds_sum", surface="feed", stage="ranker", outcome="ok") == 0.25
    assert value(found, "fourfold_stage_seconds_sum", surface="feed", stage="ranker", outcome="degraded") == 0.25
    assert value(found, "fourfold_candidates_total", surface="feed", stage="ranker") == 14
    assert value(found, "fourfold_dropped_total", surface="feed", filter="seen") == 5
    assert value(found, "fourfold_items_total", surface="feed", source="in_network") == 2
    assert value(found, "fourfold_proposed_total", surface="feed", source="trending") == 40
    assert value(found, "fourfold_degradations_total", surface="feed", stage="ranker", cause="untrained") == 1


def test_requests_without_a_slate_are_counted_by_what_their_status_means() -> None:
    metrics = Metrics()
    for status in (404, 429, 503):
        metrics.answered("-", "-", status, 0.01, None)
    found = read(metrics.text())
    for outcome in ("refused", "overloaded", "unready"):
        assert value(found, "fourfold_request_seconds_count", route="-", surface="-", outcome=outcome) == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (202, "ok"), (304, "ok"), (401, "refused"), (408, "late"), (499, "left"), (500, "failed"), (507, "failed")],
)
def test_what_a_status_means(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        ("no model is trained yet", "untrained"),
        ("no retrieval model is trained yet", "untrained"),
        ("the budget was used up before it", "late"),
        ("trending did not answer within the budget", "late"),
        ("it failed: ValueError", "failed"),
        ("trending failed: KeyError", "failed"),
        ("trending gave scores that are not numbers", "invalid"),
        ("the log is full", "full"),
        ("too few authors", "short"),
        ("sources and filters left too few candidates", "short"),
        ("no more items are left for this viewer", "short"),
        ("nothing is known of this viewer yet", "unknown"),
        ("too few values of topics", "short"),
        ("several caps together left too few candidates", "short"),
        ("it gave no order", "absent"),
        ("no earlier slate of this viewer is kept", "absent"),
        ("no item of the viewer's last slate may be shown any more", "absent"),
        ("it proposed nothing that may be shown", "absent"),
        ("the retrieval model gives no vectors", "absent"),
        ("trending: no item-to-item table is trained yet", "untrained"),
        ("the moon is in the way", "other"),
    ],
)
def test_the_class_of_a_cause(cause: str, name: str) -> None:
    assert cause_of(degradation(cause)) == name


@given(st.lists(st.text(max_size=60), max_size=30))
def test_no_text_becomes_a_label(names: list[str]) -> None:
    metrics = Metrics()
    metrics.answered("-", "-", 200, 0.0, made(*map(degradation, names, names), dropped=dict.fromkeys(names, 1)))
    labels = {label for _, pairs in read(metrics.text()) for _, label in pairs}
    assert not [label for label in labels if len(label) > 40 or "\n" in label or "{" in label]


def test_the_number_of_labels_is_bounded() -> None:
    metrics = Metrics()
    for number in range(3 * MAX_VALUES):
        metrics.answered("-", "-", 200, 0.0, made(dropped={f"rule_{number}": 1}))
    found = {labels: count for (name, labels), count in read(metrics.text()).items() if name == "fourfold_dropped_total"}
    assert len(found) == MAX_VALUES + 1
    assert found[frozenset({("surface", "feed"), ("filter", "other")})] == 2 * MAX_VALUES


PROCESS = """
import sys
from prometheus_client import Gauge
from fourfold.api.metrics import Metrics
metrics = Metrics()
metrics.accepted(int(sys.argv[1]))
metrics.answered("-", "-", 200, 0.5, None)
Gauge("fourfold_workers", "", (), registry=metrics.registry, multiprocess_mode="livesum").set(1)
print("done", flush=True)
sys.stdin.read()
sys.stdout.buffer.write(metrics.text())
"""


def test_one_process_tells_of_all_and_the_dead_keep_their_counts() -> None:
    with shared_folder() as environment:
        folder = Path(environment[FOLDER])
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, str(events)],
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for events in (3, 4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
        processes[0].kill()
        processes[0].communicate()
        found = read(processes[1].communicate()[0])
    assert value(found, "fourfold_events_accepted_total") == 7
    assert value(found, "fourfold_request_seconds_count", route="-", surface="-", outcome="ok") == 2
    assert value(found, "fourfold_workers") == 1, "a process that was killed is no worker"
    assert not folder.exists()
