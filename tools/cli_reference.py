"""Writes docs/reference/cli.md from the command line's own help, so that the page says what the commands say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text
from typer.main import get_command

from fourfold.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
HEADER = """\
# Command line

Written by `make reference` from what `fourfold --help` says. Every command exits with 0, with 1 and one line that says what
to do instead, or with 2 where an argument is missing or wrong; tables go to standard output, progress to standard error.
"""


_KINDS = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "Path": "PATH"}


def page() -> str:
    """The whole page."""
    return HEADER + "".join(_section("fourfold", get_command(app)))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def _section(name: str, command: Any) -> Iterator[str]:
    """A command and those below it."""
    if hasattr(command, "commands"):
        for word, inner in command.commands.items():
            yield from _section(f"{name} {word}", inner)
        return
    arguments = " ".join(_placeholder(one) for one in command.params if one.param_type_name == "argument")
    yield f"\n## {name}\n\n```text\n{name} {arguments}".rstrip() + "\n```\n\n"
    yield _paragraphs(command.help)
    rows = [f"| {_names(one)} | {_meaning(one)} |\n" for one in command.params]
    if rows:
        yield "\n| argument | meaning |\n| --- | --- |\n" + "".join(rows)


def _placeholder(argument: Any) -> str:
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.name.upper()}`"
    said = str(one.type_descriptor.annotation)
    value = "" if one.is_flag else " " + next(word for kind, word in _KINDS.items() if kind in said)
    return ", ".join(f"`{name}{value}`" for name in [*one.opts, *one.secondary_opts])


def _meaning(one: Any) -> str:
    default = one.default
    said = [Text.from_markup(one.help or "").plain]
    if one.param_type_name == "option" and one.required:
        said.append("Required.")
    elif default is not None and not one.is_flag and default != []:
        said.append(f"Default: `{default}`.")
    if one.envvar:
        said.append(f"Also `{one.envvar}`.")
    return " ".join(filter(None, said)).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(part.replace("\n", " ") for part in (text or "").strip().split("\n\n")) + "\n"


if __name__ == "__main__":
    main()
