"""Which models rank and retrieve, as data. The networks live in `fourfold.models`."""

from typing import Annotated, Literal

from pydantic import Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.part import Fraction, Positive, part


@part
class FeedSR:
    """The sequential ranker: a causal transformer over (post, action) histories (arXiv 2602.12354)."""

    width: Positive = 48
    layers: Positive = 2
    heads: Positive = 4
    head: Literal["dcnv2", "mmoe"] = "dcnv2"
    dropout: Fraction = 0.15
    id_dropout: Fraction = 0.5
    kind: Literal["feed_sr"] = "feed_sr"

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise DefinitionError(
                "width",
                f"{self.width} does not split into {self.heads} heads of even size",
                f"a multiple of {2 * self.heads}",
            )


@part
class DCNv2:
    """The pointwise baseline: a deep and cross network with a passive and an active tower (arXiv 2008.13535)."""

    width: Positive = 64
    cross_layers: Positive = 2
    dropout: Fraction = 0.15
    id_dropout: Fraction = 0.5
    kind: Literal["dcnv2"] = "dcnv2"


Ranker = Annotated[FeedSR | DCNv2, Field(discriminator="kind")]


@part
class TwoTower:
    """The retrieval model: viewer and item embeddings from ids, attributes, text and recent positive items."""

    width: Positive = 48
    recent: Positive = 50
    id_dropout: Fraction = 0.3
    kind: Literal["two_tower"] = "two_tower"


@part
class DotProduct:
    """The early ranker: the retrieval model's dot product keeps the best `keep` candidates for the ranker."""

    keep: Positive = 512
    kind: Literal["dot_product"] = "dot_product"
