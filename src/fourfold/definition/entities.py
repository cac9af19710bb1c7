"""Entities with their attributes, the edges between them, and the actions of viewers."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from fourfold.definition.errors import DefinitionError
from fourfold.definition.part import Duration, Name, Positive, part


@part
class Category:
    """An attribute with one of many values (an author, a country), or with several of them (`many`, genres)."""

    name: Name
    many: bool = False
    buckets: Positive = 4096
    kind: Literal["category"] = "category"


@part
class Number:
    """An attribute that is a number."""

    name: Name
    kind: Literal["number"] = "number"


@part
class Moment:
    """An attribute that is a time, in milliseconds since 1970 UTC."""

    name: Name
    kind: Literal["moment"] = "moment"


@part
class Text:
    """An attribute that is text: what retrieval knows of an entity nobody has seen yet."""

    name: Name
    words: Positive = 32
    buckets: Positive = 16384
    kind: Literal["text"] = "text"


Attribute = Annotated[Category | Number | Moment | Text, Field(discriminator="kind")]


@part
class Entity:
    """A viewer or an item.

    Parameters
    ----------
    name : str
        Its type, such as ``"member"`` or ``"post"``; ids are unique inside a type.
    attributes : tuple of Category, Number, Moment or Text
        What is known of one.
    title : str, optional
        The text attribute that a person reads.
    owner : str, optional
        The category attribute that holds its author's id: `Own` and the per-author cap read it.
    created : str, optional
        The moment attribute that says when it was made; without it the first upsert counts.
    lifetime : str, optional
        How long after its creation it may be shown, such as ``"30d"``; `Expired` reads it.
    buckets : int
        Into how many buckets ids are hashed for the models' embedding tables.
    """

    name: Name
    attributes: tuple[Attribute, ...] = ()
    title: str | None = None
    owner: str | None = None
    created: str | None = None
    lifetime: Duration | None = None
    buckets: Positive = 32768

    def __post_init__(self) -> None:
        names = [attribute.name for attribute in self.attributes]
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError("attributes", f"{name!r} is declared twice", "each attribute once")
        for field, kind in (("title", "text"), ("owner", "category"), ("created", "moment")):
            wanted = getattr(self, field)
            fitting = [attribute.name for attribute in self.attributes if attribute.kind == kind]
            if wanted is not None and wanted not in fitting:
                known = ", ".join(map(repr, fitting)) or f"none yet: add a {kind} attribute"
                raise DefinitionError(field, f"{wanted!r} is not a {kind} attribute of {self.name!r}", f"one of: {known}")
        if self.owner is not None and self.many(self.owner):
            raise DefinitionError("owner", f"{self.owner!r} holds many values", "an attribute with one value")

    def attribute(self, name: str) -> Category | Number | Moment | Text | None:
        """The attribute of that name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def many(self, name: str) -> bool:
        """Whether the attribute `name` is a category with several values."""
        attribute = self.attribute(name)
        return isinstance(attribute, Category) and attribute.many


@part
class Edge:
    """A kind of link between two entities, such as ``Edge("follows", "member", "member")``."""

    name: Name
    source: Name
    target: Name
    mutual: bool = False


@part
class Action:
    """Something that a viewer does with an impression.

    Parameters
    ----------
    name : str
        Its name in events, such as ``"like"``.
    utility : float
        What it is worth in the slate's order: negative for harm, 0 to predict it only.
    passive : bool
        Passive (click, dwell) or active (like, comment, share): rankers give each group its own tower or gate.
    """

    name: Name
    utility: float = 0.0
    passive: bool = False

    def worth(self, utility: float) -> "Action":
        """The same action with this utility weight."""
        return replace(self, utility=utility)
