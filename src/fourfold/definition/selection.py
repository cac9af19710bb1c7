"""How a slate is chosen from what was ranked, as data: caps, diversity, exploration, and the rules of editors."""

from typing import Annotated, Literal

from pydantic import Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.expression import parse
from fourfold.definition.part import Name, Positive, part

Share = Annotated[float, Field(gt=0.0, le=0.5)]
Place = Annotated[int, Field(ge=0, lt=1_000)]
EXPLORE = "explore"
"""What a slate says in place of a rule's name where an item was drawn."""


@part
class Cap:
    """At most `most` items of one value of a category attribute, such as a topic; of several values each counts."""

    attribute: Name
    most: Positive


@part
class Diversity:
    """Maximal marginal relevance: each place goes to the best ``(1 - weight) * relevance - weight * similarity``.

    Relevance is the score, from 0 for the worst to 1 for the best candidate. Similarity is that to the most similar item that
    is already in the slate: the cosine of their vectors if there is a retrieval model, otherwise how many values their
    categories share (Carbonell and Goldstein, SIGIR 1998).
    """

    weight: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3


@part
class Explore:
    """A share of the places is drawn from the next candidates.

    With n places that no rule holds and M next candidates, which are at most `among` and fit beside the slate within all caps,
    each of the last ``min(n, M)`` of these places is opened with probability `share`, independently of the others; an open
    place goes to one of the M, all equally likely, none twice. So an item of the slate whose place may open is shown with
    probability ``1 - share``, each of the M with ``share * min(n, M) / M``, all others with 1: the propensity that the slate
    states and that impressions keep. The draw is a function of the request: its surface, viewer, time and id.
    """

    share: Share = 0.05
    among: Positive = 50


@part
class Slate:
    """The selector: how many items a slate has, how many of one author or of one value of an attribute, and how it varies.

    Parameters
    ----------
    size : int
        How many items, unless the request says it.
    per_author : int, optional
        How many of one author at most.
    caps : tuple of Cap
        The same for other attributes. All caps give way where no further item fits beside those chosen.
    diversity : Diversity, optional
        Without it, the best scores stand first.
    explore : Explore, optional
        Without it, nothing is drawn.
    """

    size: Positive = 20
    per_author: Positive | None = None
    caps: tuple[Cap, ...] = ()
    diversity: Diversity | None = None
    explore: Explore | None = None
    kind: Literal["slate"] = "slate"


@part
class Pin:
    """One item stands at a fixed place, counted from 0, if it passes all filters and `where`, if given, holds for it."""

    name: Name
    item: Annotated[str, Field(min_length=1, max_length=256)]
    position: Place = 0
    where: str | None = None
    kind: Literal["pin"] = "pin"

    def __post_init__(self) -> None:
        _check_rule(self.name, self.where)


@part
class Promote:
    """Of the items for which `where` holds, the best `count` stand among the first `first` places, if so many compete."""

    name: Name
    where: str
    first: Positive
    count: Positive = 1
    kind: Literal["promote"] = "promote"

    def __post_init__(self) -> None:
        _check_rule(self.name, self.where)
        if self.count > self.first:
            raise DefinitionError("count", f"{self.count} items do not fit into {self.first} places", f"at most {self.first}")


@part
class Boost:
    """Items for which `where` holds are ordered as if their score were `factor` times better: a negative one is divided."""

    name: Name
    where: str
    factor: Annotated[float, Field(gt=0.0, le=1_000.0)]
    kind: Literal["boost"] = "boost"

    def __post_init__(self) -> None:
        _check_rule(self.name, self.where)


Rule = Annotated[Pin | Promote | Boost, Field(discriminator="kind")]


def _check_rule(name: str, where: str | None) -> None:
    if name == EXPLORE:
        raise DefinitionError("name", f"{name!r} is what slates say of items that were drawn", "another name")
    if where is not None:
        parse(where)
