"""Definitions, imports and status."""

import json
from pathlib import Path

from fourfold.surfaces.presets import PRESETS
from tests.api.samples import make_home, post, world
from tests.api.servers import Server
from tests.cli.commands import Cli

RATINGS = "userId,movieId,rating,timestamp\n1,10,5.0,964982703\n1,20,1.0,964982931\n2,10,4.0,964983000\n"
MOVIES = 'movieId,title,genres\n10,"[REC] (2007)",Horror\n20,"Heat (1995)",Action|Crime\n'


def movielens(folder: Path) -> Path:
    folder.mkdir()
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "movies.csv").write_text(MOVIES)
    return folder


def test_define_a_preset_and_a_file(cli: Cli, tmp_path: Path) -> None:
    for preset, make in PRESETS.items():
        found = cli.ok("define", preset, "--json").document
        assert (found["surface"], found["hash"]) == (make().surface, make().hash)
    shown = cli.ok("define", "movielens", "--show").document
    shown["selector"]["size"] = 7
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(shown))
    assert cli.ok("define", file, "--json").document["hash"] != PRESETS["movielens"]().hash
    assert "defined feed (" in cli.ok("define", file).out


def test_showing_changes_nothing(cli: Cli) -> None:
    cli.ok("define", "kuairand", "--show")
    assert not cli.home.exists()


def test_what_is_no_definition_is_refused(cli: Cli, tmp_path: Path) -> None:
    assert "is neither a preset nor a file; write one of movielens" in cli("define", "moviesnel").error
    file = tmp_path / "bad.json"
    for text, problem in (
        ("{", "not valid JSON"),
        ('{"surface": "feed"}', "viewer"),
        ("[]", "Recommender"),
        ("\xff", "not valid"),
    ):
        file.write_bytes(text.encode("latin-1"))
        assert problem in cli("define", file, "--json").error
    assert not cli.home.exists()


def test_an_import_twice_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    folder = movielens(tmp_path / "data")
    cli.ok("define", "movielens")
    first = cli.ok("import", "movielens", "--from", folder, "--json").document
    assert first["rejected"] == {}
    assert first["events"]["impression"] == 3
    before = cli.ok("status", "--json").document["surfaces"][0]
    assert (before["impressions"], before["entities"]) == (3, {"member": 2, "post": 2})
    assert before["model"] is None
    assert sorted(before["latest_viewers"]) == ["1", "2"]
    cli.ok("import", "movielens", "--from", folder)
    again = cli.ok("status", "--json").document["surfaces"][0]
    assert again == before
    text = cli.ok("status").out
    assert "not trained" in text
    assert "the log holds offsets 0 to" in text


def test_status_says_what_no_definition_declares(cli: Cli, tmp_path: Path) -> None:
    folder = movielens(tmp_path / "data")
    cli.ok("define", "movielens")
    cli.ok("import", "movielens", "--from", folder)
    assert "does not count" not in cli.ok("status").out
    event = {"event": "action", "time": 1, "viewer": "1", "item": "10"}
    wrong = [
        event | {"id": "a", "surface": "feed", "name": "lke"},
        event | {"id": "b", "surface": "fed", "name": "like"},
        {"event": "entity_upsert", "id": "c", "time": 1, "type": "pst", "key": "10"},
    ]
    (tmp_path / "wrong.jsonl").write_text("\n".join(map(json.dumps, wrong)))
    cli.ok("events", "append", tmp_path / "wrong.jsonl")
    said = "feed does not count: 2 action of another definition, 1 entity_upsert of another definition; its definition"
    assert said in cli.ok("status").out


def test_what_cannot_be_imported_is_named(cli: Cli, tmp_path: Path) -> None:
    assert "'nonsense' is neither a data set (movielens-100k" in cli("import", "nonsense").error
    assert "kuairand is not fetched for you" in cli("import", "kuairand").error
    assert str(tmp_path / "nowhere") in cli("import", "movielens", "--from", tmp_path / "nowhere").error
    mapping = tmp_path / "mapping.toml"
    for text in ("[[", 'name = "x"\n', "[files.x]\nkind = 3\n", "\xff"):
        mapping.write_bytes(text.encode("latin-1"))
        assert "mapping" in cli("import", mapping, "--json").error


def test_a_draft_is_printed_or_written_and_never_over_another(cli: Cli, tmp_path: Path) -> None:
    folder = movielens(tmp_path / "data")
    files = [folder / "ratings.csv", folder / "movies.csv"]
    printed = cli.ok("import", "--guess", *files).out
    assert cli.ok("import", "--guess", *files, "--json").document == {"mapping": printed}
    assert cli.ok("import", "--guess", "ratings.csv", "movies.csv", "--from", folder).out == printed
    assert not cli.home.exists()
    draft = tmp_path / "draft.toml"
    assert cli.ok("import", "--guess", *files, "--out", draft, "--json").document["path"] == str(draft)
    assert draft.read_text() == printed
    draft.write_text("# corrected")
    assert "draft.toml exists already, perhaps with your corrections" in cli("import", "--guess", *files, "--out", draft).error
    assert draft.read_text() == "# corrected"


def test_a_draft_is_imported_as_it_stands(cli: Cli, tmp_path: Path) -> None:
    folder = movielens(tmp_path / "data")
    cli.ok("import", "--guess", folder / "ratings.csv", folder / "movies.csv", "--out", folder / "draft.toml")
    found = cli.ok("import", folder / "draft.toml", "--json").document
    assert found["events"] == {"impression": 3, "action": 4, "entity_upsert": 2}
    assert found["rejected"] == {}


def test_what_no_draft_can_be_made_of_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert "empty.csv is empty" in cli("import", "--guess", tmp_path / "empty.csv").error
    assert "nowhere.csv is not there" in cli("import", "--guess", tmp_path / "nowhere.csv", "--json").error
    assert "several files and --out go with --guess" in cli("import", "a.toml", "b.toml").error
    assert "several files and --out go with --guess" in cli("import", "movielens", "--out", tmp_path / "x.toml").error


def test_an_export_is_imported_into_another_home(cli: Cli, tmp_path: Path) -> None:
    cli.ok("define", "movielens")
    cli.ok("import", "movielens", "--from", movielens(tmp_path / "data"))
    cli.ok("events", "export", tmp_path / "out")
    before = cli.ok("status", "--json").document["surfaces"][0]
    other = tmp_path / "other"
    cli.ok("define", "movielens", "--home", other)
    for _ in range(2):
        found = cli.ok("import", "events", "--from", tmp_path / "out", "--home", other, "--json").document
        assert found["events"] == {"impression": 3, "action": 4, "entity_upsert": 4}
        assert cli.ok("status", "--home", other, "--json").document["surfaces"][0] == before


def test_status_of_a_home_without_surfaces(cli: Cli) -> None:
    assert "there is no home at" in cli("status").error
    cli.home.mkdir()
    assert cli.ok("status", "--json").document["surfaces"] == []
    assert "try `fourfold define movielens`" in cli.ok("status").out


def test_status_of_a_running_service(cli: Cli, tmp_path: Path) -> None:
    make_home(cli.home).close()
    with Server(cli.home, "feed") as server, server.client() as client:
        post(client, world())
        url = str(client.base_url).rstrip("/")
        (found,) = cli.ok("status", "--url", url, "--json").document["surfaces"]
        assert (found["surface"], found["ready"], found["model"], found["problem"]) == ("feed", True, None, None)
        assert found["log_end"] == len(world())
        assert "not trained" in cli.ok("status", "--url", url).out
        assert server.stop() == 0
    assert "cannot be reached" in cli("status", "--url", url).error
    assert "is not the address of a service" in cli("status", "--url", "localhost").error
