"""The definition of a recommender: pure, frozen, validated data. It imports nothing of the rest."""

from fourfold.definition.deployment import Deployment, SurfaceDeployment
from fourfold.definition.entities import Action, Category, Edge, Entity, Moment, Number, Text
from fourfold.definition.errors import DefinitionError
from fourfold.definition.features import Age, AttributeValue, Count, Feature, Rate
from fourfold.definition.models import DCNv2, DotProduct, FeedSR, TwoTower
from fourfold.definition.recommender import History, Recommender, difference
from fourfold.definition.stages import (
    Blocked,
    EmbeddingRetrieval,
    Excluded,
    Expired,
    Filter,
    Hidden,
    InNetwork,
    ItemToItem,
    Linked,
    Own,
    Seen,
    Slate,
    Source,
    Trending,
    TwoHop,
)

__all__ = [
    "Action",
    "Age",
    "AttributeValue",
    "Blocked",
    "Category",
    "Count",
    "DCNv2",
    "DefinitionError",
    "Deployment",
    "DotProduct",
    "Edge",
    "EmbeddingRetrieval",
    "Entity",
    "Excluded",
    "Expired",
    "Feature",
    "FeedSR",
    "Filter",
    "Hidden",
    "History",
    "InNetwork",
    "ItemToItem",
    "Linked",
    "Moment",
    "Number",
    "Own",
    "Rate",
    "Recommender",
    "Seen",
    "Slate",
    "Source",
    "SurfaceDeployment",
    "Text",
    "Trending",
    "TwoHop",
    "TwoTower",
    "difference",
]
