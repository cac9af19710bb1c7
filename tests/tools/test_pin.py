"""Pins: one line a package, without builds, without the project itself, and for all that the project names."""

import json
import re
import tomllib
from itertools import chain

from tools.pin import ROOT, constraints


def test_pins_are_sorted_and_name_no_build() -> None:
    found = [("torch", "2.13.0+cpu"), ("Jinja2", "3.1"), ("fourfold", "0.1"), ("ast_serialize", "1")]
    report = {"install": [{"metadata": {"name": name, "version": version}} for name, version in found]}
    lines = [line for line in constraints(json.dumps(report)).splitlines() if not line.startswith("#")]
    assert lines == ["ast-serialize==1", "jinja2==3.1", "torch==2.13.0"]


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    names = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in declared}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {*names, "setuptools"} <= pinned
