"""The documentation says what the code does: its examples are read by the code, its lists are those of the code."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from pydantic import TypeAdapter
from tools.cli_reference import PAGE, page

from fourfold.api.bodies import decode_request
from fourfold.data.mapping import Mapping
from fourfold.definition import Deployment, Feature, Filter, History, Recommender, Source
from fourfold.events.types import Event
from fourfold.pipeline.slate import Slate

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
EXAMPLE = DOCS / "examples" / "magazine"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_the_command_line_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make reference`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_named_are_there(path: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|json|toml))`", path.read_text())
    assert [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "src" / "fourfold"))] == []


def test_there_is_an_example_of_every_event() -> None:
    events = [msgspec.json.decode(block, type=Event) for block in blocks(DOCS / "reference" / "events.md", "json")]
    assert {type(event) for event in events} == set(get_args(Event))


def test_the_examples_of_http_are_what_goes_in_and_comes_out() -> None:
    request, slate, *_ = blocks(DOCS / "reference" / "http.md", "json")
    decode_request(request.encode())
    assert msgspec.json.decode(slate, type=Slate, strict=True).items[0].item == "a349"


def test_every_kind_of_part_is_described() -> None:
    text = (DOCS / "reference" / "definition.md").read_text()
    for union in (Source, Filter, Feature):
        for part in get_args(get_args(union)[0]):
            row = re.search(rf"^\| `{part.kind}` \|.*$", text, re.MULTILINE)
            assert row is not None, part.kind
            missing = [name for name in part.__dataclass_fields__ if name != "kind" and f"`{name}`" not in row[0]]
            assert missing == [], part.kind


def test_the_examples_of_features_are_features() -> None:
    features, history = blocks(DOCS / "features.md", "json")
    parsed = TypeAdapter(list[Feature]).validate_json(features)
    assert len({feature.kind for feature in parsed}) == len(parsed)
    assert TypeAdapter(History).validate_python(msgspec.json.decode(history)["history"]).values == ("click",)


def test_every_field_of_a_definition_is_described() -> None:
    text = (DOCS / "reference" / "definition.md").read_text()
    assert [name for name in Recommender.__dataclass_fields__ if name != "version" and f"`{name}`" not in text] == []


def test_the_default_deployment_is_as_described() -> None:
    (block,) = blocks(DOCS / "operations.md", "toml")
    assert Deployment.from_toml(block).of("feed") == Deployment().of("feed")
    assert set(tomllib.loads(block)["feed"]) == set(type(Deployment().of("feed")).model_fields)


def test_the_mapping_examples_are_mappings() -> None:
    for block in [*blocks(DOCS / "reference" / "mapping.md", "toml"), *blocks(DOCS / "data.md", "toml")]:
        assert Mapping.from_toml(block).logs
    example = Mapping.from_toml((EXAMPLE / "mapping.toml").read_text())
    (shown,) = blocks(DOCS / "tutorial.md", "toml")
    assert Mapping.from_toml(f'name = "magazine"\n{shown}').logs == example.logs


def test_the_example_is_a_definition_and_the_tutorial_shows_it() -> None:
    text = (EXAMPLE / "definition.json").read_text()
    definition = Recommender.from_json(text)
    (shown,) = blocks(DOCS / "tutorial.md", "json")
    actions = msgspec.json.decode("{" + shown + "}")["actions"]
    assert msgspec.json.decode(text)["actions"] == actions
    assert definition.positive == ("click", "like")


def test_every_page_can_be_reached() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    assert [path.name for path in sorted(DOCS.rglob("*.md")) if str(path.relative_to(DOCS)) not in nav] == []


def test_every_module_promised_in_concepts_is_a_test() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", (DOCS / "concepts.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
