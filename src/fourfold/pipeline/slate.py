"""The request and the slate: what goes in and what comes out, in the API as in Python."""

from typing import Annotated

from msgspec import Meta, Struct, field

from fourfold.definition.expression import MAX_LENGTH
from fourfold.events.types import ContextValue, Id, Time

MAX_SIZE = 1_000
MAX_EXCLUDED = 10_000


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request for a slate.

    Parameters
    ----------
    viewer : str
        Who it is for; an unknown one gets a slate too.
    size : int, optional
        How many items; the definition's selector says it otherwise.
    time : int, optional
        As of when, in milliseconds since 1970; the service's clock otherwise.
    exclude : list of str
        Items that must not appear.
    where : str, optional
        A condition that all items must meet, such as ``language == "de" and length < 60``.
    budget_ms : int, optional
        What the request may take; the deployment says it otherwise.
    context : dict
        What is known of the request beside its viewer, as the definition declares it.
    request : str, optional
        An id to find the slate by in logs and impressions; made from viewer and time otherwise.
    """

    viewer: Id
    size: Annotated[int, Meta(ge=1, le=MAX_SIZE)] | None = None
    time: Time | None = None
    exclude: Annotated[list[Id], Meta(max_length=MAX_EXCLUDED)] = field(default_factory=list)
    where: Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)] | None = None
    budget_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    context: dict[str, ContextValue] = field(default_factory=dict)
    request: Id | None = None


class SlateItem(Struct, frozen=True, kw_only=True):
    """One place of a slate, with why the item is there.

    `score` is the utility: the sum of each action's worth times its `probabilities`. Without a ranker it is the early score.
    `rule` names the rule that placed or boosted the item, or says ``explore`` where it was drawn. Where the definition
    explores, `propensity` is the chance with which a request like this one shows the item. Where two rankers are interleaved,
    `team` names the one that placed it.
    """

    item: str
    score: float
    probabilities: dict[str, float]
    sources: list[str]
    reason: str
    title: str | None = None
    rule: str | None = None
    propensity: float | None = None
    team: str | None = None


class Degradation(Struct, frozen=True, kw_only=True):
    """Something that did not go as defined, said aloud."""

    stage: str
    cause: str
    effect: str


class StageTrace(Struct, frozen=True, kw_only=True):
    """How long a stage took, how many candidates it was given and how many it gave on."""

    stage: str
    ms: float
    taken: int
    given: int


class RuleTrace(Struct, frozen=True, kw_only=True):
    """What one rule of the definition did."""

    rule: str
    effect: str


class Trace(Struct, frozen=True, kw_only=True):
    """How the slate came about.

    `proposed` counts the candidates of each source that answered, `dropped` what each filter took out; `state_age_ms` is how
    long before the request the newest known impression or action of anyone happened, `viewer_age_ms` the same for the viewer.
    """

    stages: list[StageTrace]
    dropped: dict[str, int]
    history: int
    state_age_ms: int | None
    viewer_age_ms: int | None
    offset: int
    rules: list[RuleTrace] = field(default_factory=list)
    proposed: dict[str, int] = field(default_factory=dict)


class Slate(Struct, frozen=True, kw_only=True):
    """The ordered answer.

    `experiment` names the one that the viewer takes part in, `variant` what the viewer gets in it, or ``"holdout"``; an
    interleaved slate has no variant, its items have teams.
    """

    request: str
    surface: str
    viewer: str
    time: int
    mode: str
    definition: str
    model: str | None
    items: list[SlateItem]
    degradations: list[Degradation]
    trace: Trace
    experiment: str | None = None
    variant: str | None = None
