"""Request bodies: read with a bound on size and time, decoded by msgspec, and explained field by field where they are wrong."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import anyio
import msgspec
from starlette.requests import Request as HttpRequest

from fourfold.api.errors import ApiError
from fourfold.events.types import Event, Value
from fourfold.pipeline.slate import MAX_EXCLUDED, MAX_SIZE, Request

T = TypeVar("T")

MAX_EVENTS = 10_000
MAX_EVENT_BYTES = 10_000_000
MAX_REQUEST_BYTES = 4_000_000
READ_SECONDS = 30.0
"""What reading a body may take: it holds a place in the queue meanwhile."""

JSON, NDJSON = "application/json", "application/x-ndjson"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""C0, C1, and what ends a line or turns the direction of writing around: it makes an id look like another one."""
_PATH = re.compile(r" - at `(?:\$|key in \$)?(.*)`$", re.DOTALL)
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`", re.DOTALL)
_TEXT = "text of 1 to 256 characters, none of them a control character"
_ADVICE = {
    "time": "milliseconds since 1970 UTC, from 0 to 4503599627370495: when it happened; the service does not fill it in",
    "event": "one of: impression, action, entity_upsert, entity_delete, edge_added, edge_removed",
    "attributes": "an object whose values are text, numbers, true, false, lists of text, or null to clear one",
    "context": "an object whose values are texts, numbers, true or false, as the definition declares them",
    "known": "a list of names of actions, or leave it out",
    "undated": "true or false, or leave it out",
    "position": "a whole number from 0, or leave it out",
    "propensity": "a number above 0 and at most 1, as the slate said it, or leave it out",
    "value": "a number, or leave it out",
    "size": f"a whole number from 1 to {MAX_SIZE}, or leave it out",
    "exclude": f"a list of at most {MAX_EXCLUDED} item ids",
    "where": 'a condition on declared attributes, such as language == "de" and length < 60',
    "budget_ms": "a whole number of milliseconds from 1 to 60000, or leave it out",
} | dict.fromkeys(
    (
        *("id", "viewer", "item", "surface", "name", "type", "key", "kind", "source", "target", "request"),
        *("experiment", "variant", "team"),
    ),
    _TEXT,
)


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an entity's attributes are set to."""

    attributes: dict[str, Value]


_one: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_change: msgspec.json.Decoder[Change] = msgspec.json.Decoder(Change)
_many, _request = msgspec.json.Decoder(list[Event]), msgspec.json.Decoder(Request)


async def read_body(request: HttpRequest, limit: int, kinds: Sequence[str]) -> tuple[str, bytes]:
    """The media type and the bytes of a body, at most `limit` of them.

    Raises
    ------
    ApiError
        415 for another media type (which also keeps web pages of other origins from posting), 413, 408, or 400 if it is empty.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise ApiError(415, f"the content type is {kind!r}", f"Content-Type: {' or '.join(kinds)}")
    too_large = ApiError(413, f"the body is larger than {limit} bytes", "a smaller one; split it over several requests")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {READ_SECONDS:g} seconds", "it without pauses") from None
    if not body.strip():
        raise ApiError(
            400, "the body is empty", "a JSON object" if len(kinds) == 1 else "an event, a list of them, or one a line"
        )
    return kind, bytes(body)


def decode_request(body: bytes) -> Request:
    """A request for a slate.

    Raises
    ------
    ApiError
        400 where it is no JSON, 422 where a field is wrong.
    """
    request = _decoded(_request.decode, body, "")
    for field, texts in (("viewer", [request.viewer]), ("request", [request.request or ""]), ("exclude", request.exclude)):
        if any(map(has_control, texts)):
            raise ApiError(422, f"{field}: it holds a control character", _ADVICE["viewer"])
    return request


def decode_events(kind: str, body: bytes) -> list[Event]:
    """The events of a body: one, a JSON list, or (NDJSON) one a line.

    Raises
    ------
    ApiError
        400 where it is no JSON, 413 for too many, 422 where a field is wrong; it names the event by its index.
    """
    if kind == NDJSON:
        events = _decoded(_one.decode_lines, body, "events")
    elif body.lstrip()[:1] == b"[":
        events = _decoded(_many.decode, body, "events")
    else:
        events = [_decoded(_one.decode, body, "events[0]")]
    if not events:
        raise ApiError(422, "events: the list is empty", f"1 to {MAX_EVENTS} events")
    if len(events) > MAX_EVENTS:
        raise ApiError(413, f"events: {len(events)} at once", f"at most {MAX_EVENTS} in a request")
    return events


def decode_change(body: bytes) -> dict[str, Value]:
    """The attributes that a change of an entity sets.

    Raises
    ------
    ApiError
        400 where it is no JSON, 422 where a field is wrong.
    """
    return _decoded(_change.decode, body, "").attributes


def has_control(text: str) -> bool:
    """Whether a text holds a control character: those break logs, terminals and comparisons of ids."""
    return _CONTROL.search(text) is not None


def advice(path: str) -> str:
    """What to write in a field, by its name."""
    names = re.findall(r"[a-z_]+", path)
    return next((_ADVICE[name] for name in reversed(names) if name in _ADVICE), "what /openapi.json says")


def _decoded(decode: Callable[[bytes], T], body: bytes, root: str) -> T:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error), root) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON: {error}", "JSON in UTF-8") from None


def _wrong_field(message: str, root: str) -> ApiError:
    """A msgspec message such as ``Expected `int`, got `str` - at `$[3].time```, with the path brought to the front."""
    at, problem = _PATH.search(message), _PATH.sub("", message)
    field = _FIELD.fullmatch(problem)
    path = (root + (at[1] if at else "") + (f".{field[1][:80]}" if field else "")).lstrip(".") or "the body"
    unknown = "contains unknown field" in problem
    return ApiError(422, f"{path}: {problem[:300]}", "only the fields that /openapi.json lists" if unknown else advice(path))
