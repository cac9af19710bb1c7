"""What starts a service elsewhere asks for options that the command line has, and runs as nobody of importance."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from fourfold.api.supervisor import END_SECONDS
from fourfold.cli.main import app

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def command(words: list[str]) -> None:
    """Make sure that a command line is one: every command and option in it exists."""
    found: Any = typer.main.get_command(app)
    names = list(words)
    while hasattr(found, "commands"):
        found = found.commands[names.pop(0)]
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in names if word.startswith("--")} <= known


def test_the_image_starts_a_service_as_a_user_of_its_own() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    entry, arguments = (json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.M))
    assert entry == ["fourfold"]
    command(arguments)
    assert re.search(r"^USER fourfold$", text, re.M)
    stages = re.findall(r"^FROM (\S+)", text, re.M)
    assert stages
    assert all(":" in image and not image.endswith(":latest") for image in stages)


def test_what_the_image_is_built_from_is_let_in() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {name.removeprefix("./") for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M) for name in line.split()}
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_compose_starts_the_same_and_mounts_what_is_there() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]
    command(services["fourfold"]["command"])
    for line in re.findall(r"run --rm fourfold ([^>\n]*)", (DEPLOY / "compose.yml").read_text()):
        command(line.split())
    assert (DEPLOY / services["fourfold"]["build"]["context"] / services["fourfold"]["build"]["dockerfile"]).is_file()
    mounted = [volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    for path in mounted:
        assert not path.startswith(".") or (DEPLOY / path).exists(), path
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    read = configparser.RawConfigParser(strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    read.read(DEPLOY / "systemd" / "fourfold.service")
    return read


def test_the_unit_starts_a_service_that_may_write_its_home_alone(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/bin/fourfold")
    command(words)
    assert (service["User"], service["ProtectSystem"], service["NoNewPrivileges"]) == ("fourfold", "strict", "yes")
    assert f"FOURFOLD_HOME=/var/lib/{service['StateDirectory']}/home" in service["Environment"]


def test_it_is_given_the_time_that_it_takes_to_stop(unit: configparser.RawConfigParser) -> None:
    assert float(unit["Service"]["TimeoutStopSec"]) > END_SECONDS
    grace = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]["fourfold"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > END_SECONDS
