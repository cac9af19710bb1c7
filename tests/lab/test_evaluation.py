"""A version judged whole: what is asked for, and when there is nothing to judge."""

from dataclasses import replace

import msgspec
import pytest

from fourfold.definition import Category
from fourfold.events.types import Event
from fourfold.lab.evaluation import Evaluation, NothingToJudgeError, Question, judge_version
from fourfold.pipeline.models import Untrained
from fourfold.pipeline.pipeline import Pipeline
from fourfold.pipeline.slate import Request, Slate
from fourfold.training.manifest import Manifest, TrainingData
from tests.features.samples import state_of
from tests.lab.test_truth import PAST, SPLIT, show
from tests.lab.test_usual_context import shown
from tests.pipeline.samples import BARE
from tests.training.test_registry import manifest_of

DEFINITION = replace(BARE, context=(Category("tab"), Category("device")))


def judge(events: list[Event], question: Question | None = None) -> Evaluation:
    view = state_of(events, DEFINITION).view()
    seen = TrainingData(events=1, first=1, last=SPLIT, offset=1)
    manifest: Manifest = msgspec.structs.replace(manifest_of(DEFINITION), version="v1", data=seen)
    return judge_version(
        view,
        manifest,
        None,
        Untrained(),
        question or Question(),
        on_member=lambda done, total: None,
        on_stage=lambda said: None,
    )


def test_members_are_asked_where_they_usually_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, recommend = {}, Pipeline.recommend

    def noted(pipeline: Pipeline, request: Request, now: int) -> Slate:
        asked[request.viewer] = request.context
        return recommend(pipeline, request, now)

    monkeypatch.setattr(Pipeline, "recommend", noted)
    usual = [shown(1, "m0", "p0", tab="4"), shown(1, "m7", "p0", tab="5"), shown(2, "m7", "p1", tab="5")]
    found = judge([*PAST, *usual, *show(7, "m0", "p2"), *show(8, "m2", "p1")])
    assert asked == {"m0": {"tab": "4"}, "m2": {"tab": "5"}}
    assert found.slates["members"] == 2
    assert (found.impressions, found.members, found.new_members) == (2, 2, 1)


def test_nothing_newer_than_the_training() -> None:
    with pytest.raises(NothingToJudgeError, match="the log holds nothing newer than what v1 was trained on"):
        judge(PAST)
