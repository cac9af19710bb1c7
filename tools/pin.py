"""Writes constraints.txt: every package that Fourfold, its tools and its docs need, each at the version pip finds best now."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Every package at the version it is tested with. Written by `make pins`; do not edit by hand.
# Builds are not named (torch, not torch+cpu): any that fits the machine will do.
"""


def constraints(report: str) -> str:
    """The text of the constraints file for what a `pip install --report` found."""
    found = [item["metadata"] for item in json.loads(report)["install"]]
    pins = {_normal(data["name"]): data["version"].partition("+")[0] for data in found if data["name"] != "fourfold"}
    return HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def main() -> None:
    """Resolve anew, ignoring the present pins and what is installed; arguments are passed on to pip."""
    ask = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    command = [sys.executable, "-m", "pip", *ask, f"{ROOT}[dev,docs]", "setuptools", *sys.argv[1:]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    (ROOT / "constraints.txt").write_text(constraints(done.stdout))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
