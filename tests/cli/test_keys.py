"""Keys from the command line: made, listed, rotated, revoked; shown once."""

import pytest

from tests.cli.commands import Cli


@pytest.fixture(autouse=True)
def _defined(cli: Cli) -> None:
    cli.ok("define", "world")


def test_a_key_is_printed_once_alone_on_standard_output(cli: Cli) -> None:
    answer = cli.ok("keys", "create", "app", "--role", "write", "--expires", "90d")
    key = answer.out.strip()
    assert key.startswith("fourfold_")
    assert key not in answer.err
    assert "write key" in answer.err
    assert "not shown again" in answer.err
    listed = cli.ok("keys", "list")
    assert key not in listed.out
    assert "app" in listed.out


def test_the_list_says_what_is_valid(cli: Cli) -> None:
    assert cli.ok("keys", "list", "--json").document == []
    made = cli.ok("keys", "create", "app", "--json").document
    new = cli.ok("keys", "rotate", "app", "--keep", "1ms", "--json").document
    assert (made["role"], new["role"], new["name"]) == ("read", "read", "app")
    listed = cli.ok("keys", "list", "--json").document
    assert {key["id"]: key["valid"] for key in listed} == {made["id"]: False, new["id"]: True}
    assert cli.ok("keys", "revoke", new["id"], "--json").document == {"revoked": [new["id"]]}
    assert [key["id"] for key in cli.ok("keys", "list", "--json").document] == [made["id"]]


def test_what_cannot_be_done_says_what_to_write(cli: Cli) -> None:
    assert "--role 'root' is no role; write one of: read, write, admin" in cli("keys", "create", "app", "--role", "root").error
    assert "'soon' is not a duration" in cli("keys", "create", "app", "--expires", "soon").error
    assert "no key has the id or name 'app'" in cli("keys", "revoke", "app").error
    assert "no valid key is named 'app'" in cli("keys", "rotate", "app").error


def test_keys_need_a_home(cli: Cli) -> None:
    assert "there is no home at" in cli("keys", "create", "app", "--home", cli.home / "nowhere").error
