"""Questions to sources over little logs."""

from collections.abc import Sequence

from fourfold.candidates import SOURCES, Ask, ItemIndex, ItemNeighbours
from fourfold.definition import Edge, Recommender, Source
from fourfold.definition.entities import Entity
from fourfold.events.types import EdgeAdded, Event
from fourfold.features.assembly import context
from fourfold.features.encoding import Encoder
from tests.features.samples import state_of
from tests.strategies import START, TINY

FRIENDS = Recommender(
    surface="friends", viewer=Entity("member"), item=Entity("member"), edges=(Edge("knows", "member", "member", mutual=True),)
)


def ask_of(
    events: Sequence[Event],
    viewer: str,
    time: int,
    definition: Recommender = TINY,
    index: ItemIndex | None = None,
    neighbours: ItemNeighbours | None = None,
    cuts: Sequence[int] = (),
) -> Ask:
    """One viewer's question to the sources of a definition."""
    view = state_of(events, definition, cuts).view()
    row = int(view.rows(definition.viewer.name, [viewer])[0])
    return Ask(view, context(view, Encoder(definition), row, time), index, neighbours)


def proposed(ask: Ask, source: Source) -> list[tuple[str, float, int]]:
    """What a source proposes, in order: id, score and the row of what explains it."""
    found = SOURCES[source.kind](ask, source)
    ids = ask.view.ids(ask.view.definition.item.name, found.items)
    assert len(found) == len(found.scores) == len(found.because)
    return list(zip(ids, found.scores.tolist(), found.because.tolist(), strict=True))


def scored(ask: Ask, source: Source) -> dict[str, float]:
    """Scores by id; checks that the best come first, equal ones by id, each once."""
    found = proposed(ask, source)
    assert [name for name, _, _ in found] == [name for name, _, _ in sorted(found, key=lambda one: (-one[1], one[0]))]
    scores = {name: score for name, score, _ in found}
    assert len(scores) == len(found)
    return scores


def knows(*pairs: str) -> list[Event]:
    """Mutual edges such as ``"ab"``, at START."""
    return [EdgeAdded(id=pair, time=START, kind="knows", source=pair[0], target=pair[1]) for pair in pairs]
