"""What people read: nothing cut, nothing taken for markup; and what machines read: one document."""

import json
import os
import subprocess
import sys

import pytest

from fourfold.cli.console import PLAIN_WIDTH, _Lines, progress, report, show, table

LONG = "a-very-long-identifier-" * 8


def printed(capsys: pytest.CaptureFixture[str], *tables: object) -> str:
    report({}, False, *tables)  # type: ignore[arg-type]  # tables and lines
    return capsys.readouterr().out


def test_ids_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["item", "title", "sources", ">score"]
    text = printed(capsys, table("A slate", columns, [[LONG, "a title of many words " * 12, "trending, two_hop", 0.5]]))
    assert LONG in text
    assert "…" not in text
    assert "0.500" in text
    assert text.count("many") == 12


def test_tables_are_wide_where_there_is_no_terminal_unless_columns_says_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, table("A slate", ["item", "title"], [["p1", "word " * 40]])).splitlines()
    assert 100 < max(map(len, lines)) <= PLAIN_WIDTH
    program = "from fourfold.cli.console import err, out; print(out.width, err.width)"
    plain = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    for environment, width in ((plain, PLAIN_WIDTH), (plain | {"COLUMNS": "90"}, 90)):
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
        assert done.stdout.split() == [str(width), str(width)]


def test_brackets_and_colons_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, table("[bold]", ["title"], [["[REC] (2007) :smile: [/]"]]), "in [red]/tmp[/red]")
    assert "[REC] (2007) :smile: [/]" in text
    assert "[bold]" in text
    assert "in [red]/tmp[/red]" in text


def test_a_long_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "word " * 60).count("\n") == 1


def test_json_is_one_document_untouched(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"id": LONG, "title": "[REC] … ø", "none": None, "rows": [1, 2.5]}
    report(document, True, table("t", ["x"], [["y"]]), "a line")
    assert json.loads(capsys.readouterr().out) == document


def test_cells() -> None:
    assert [show(value) for value in (None, 0.12345, 3, "x")] == ["-", "0.123", "3", "x"]


def test_progress_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("import") as advance:
        advance(1, 10, "events")
        advance(2, 10, "events")  # too soon after the first
        advance(10, 10, "events")
    printed_ = capsys.readouterr()
    assert printed_.out == ""
    assert printed_.err.splitlines() == ["import: 1/10 events", "import: 10/10 events"]
    _Lines("x")(3, None)
    assert capsys.readouterr().err == "x: 3\n"
    _Lines("x")(0, None)
    assert capsys.readouterr().err == "x: ...\n"
