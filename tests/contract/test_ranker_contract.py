"""Every ranker keeps the contract."""

from fourfold.definition.models import DCNv2, FeedSR
from fourfold.features.inputs import Schema
from fourfold.models.io import build_ranker
from fourfold.models.ranker import Ranker
from tests.contract.ranker_contract import RankerContract


class TestFeedSRWithDCNv2Head(RankerContract):
    def make(self, schema: Schema) -> Ranker:
        return build_ranker(FeedSR(width=8, layers=2, heads=2), schema)


class TestFeedSRWithMMoEHead(RankerContract):
    def make(self, schema: Schema) -> Ranker:
        return build_ranker(FeedSR(width=8, layers=1, heads=1, head="mmoe"), schema)


class TestDCNv2(RankerContract):
    def make(self, schema: Schema) -> Ranker:
        return build_ranker(DCNv2(width=8), schema)
