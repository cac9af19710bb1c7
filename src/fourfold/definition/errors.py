"""The one error a wrong definition or deployment raises: it names the field and what to write instead."""

from collections.abc import Sequence
from typing import Any


class DefinitionError(ValueError):
    """A definition or deployment that cannot work.

    Parameters
    ----------
    field : str
        Dotted path of the offending field, such as ``"feed.sources[2].edge"``.
    problem : str
        What is wrong with it.
    write : str
        What to write instead.
    """

    def __init__(self, field: str, problem: str, write: str = "") -> None:
        self.field, self.problem, self.write = field, problem, write
        super().__init__(f"{field}: {problem}" + (f"; write {write}" if write else ""))


def from_pydantic(owner: str, errors: Sequence[Any], positional: Sequence[str] = ()) -> DefinitionError:
    """Turn pydantic's error list (``ValidationError.errors()``) into one `DefinitionError`, first problem first.

    `positional` names the fields that were given by position.
    """
    first, path = errors[0], owner
    for depth, step in enumerate(first["loc"]):
        if isinstance(step, int) and depth == 0 and step < len(positional):
            path = _join(path, positional[step])
        else:
            path = f"{path}[{step}]" if isinstance(step, int) else _join(path, str(step))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, DefinitionError):
        return DefinitionError(_join(path, cause.field), cause.problem + more, cause.write)
    return DefinitionError(path, f"{_problem(first)}{more}", _advice(first))


def _join(owner: str, field: str) -> str:
    return f"{owner}.{field}" if field else owner


def _problem(error: Any) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            return f"there is no kind {error['ctx']['tag']!r}"
        case "union_tag_not_found":
            return "it has no kind"
    shown = repr(error.get("input"))
    return f"{error['msg']}, got {shown if len(shown) < 80 else shown[:77] + '...'}"


_ADVICE = {
    "missing": "it",
    "union_tag_not_found": 'a "kind" that says which it is',
    "unexpected_keyword_argument": "only the documented fields, and check the spelling",
    "extra_forbidden": "only the documented fields, and check the spelling",
}


def _advice(error: Any) -> str:
    context = error.get("ctx", {})
    if "expected_tags" in context:
        return f"one of {context['expected_tags']}"
    for bound, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if bound in context:
            return f"a number {words} {context[bound]}"
    return _ADVICE.get(error["type"], str(context.get("expected", "")))
