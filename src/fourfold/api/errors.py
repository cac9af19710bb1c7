"""How the service says no: a status and a JSON body that names what is wrong and what to write instead."""

from collections.abc import Mapping

import msgspec
from fastapi.exceptions import RequestValidationError
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_WRITE = {
    404: "one of the paths in /openapi.json",
    405: "a method that /openapi.json lists for this path",
}


class Problem(Struct, frozen=True):
    """The body of every answer that is no success."""

    error: str
    write: str


class ApiError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
        The HTTP status.
    error : str
        What is wrong; it names the field.
    write : str
        What to write or do instead.
    headers : mapping of str to str, optional
        Such as Retry-After.
    """

    def __init__(self, status: int, error: str, write: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.error, self.write, self.headers = status, error, write, headers
        super().__init__(f"{status}: {error}; write {write}")

    def response(self) -> Response:
        """The answer that says so."""
        body = msgspec.json.encode(Problem(self.error, self.write))
        return Response(body, self.status, dict(self.headers or {}), "application/json")


async def refused(_: Request, error: Exception) -> Response:
    """Starlette's handler for `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def not_routed(_: Request, error: Exception) -> Response:
    """Starlette's handler for paths and methods that are not there."""
    assert isinstance(error, HTTPException)
    write = _WRITE.get(error.status_code, "another request; /openapi.json describes them")
    return ApiError(error.status_code, str(error.detail), write, error.headers).response()


async def invalid(_: Request, error: Exception) -> Response:
    """FastAPI's handler for parameters that do not fit."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    field = str(problem["loc"][-1])
    return ApiError(422, f"{field[:80]}: {problem['msg']}", "what /openapi.json says").response()
