"""Roles contain each other, and what is not listed needs an admin."""

import pytest

from fourfold.api.roles import Role, needed_role


def test_each_role_may_what_the_one_before_it_may() -> None:
    allowed = {(one, other) for one in Role for other in Role if one.allows(other)}
    read, write, admin = Role.READ, Role.WRITE, Role.ADMIN
    assert allowed == {(read, read), (write, read), (write, write), (admin, read), (admin, write), (admin, admin)}


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/v1/feed/recommend", Role.READ),
        ("GET", "/v1/surfaces", Role.READ),
        ("GET", "/v1/feed/status", Role.READ),
        ("GET", "/openapi.json", Role.READ),
        ("POST", "/v1/events", Role.WRITE),
        ("GET", "/v1/entities/post/p0", Role.READ),
        *((method, "/v1/entities/post/p0", Role.WRITE) for method in ("PATCH", "PUT", "DELETE")),
        ("PUT", "/v1/edges/follows", Role.WRITE),
        ("POST", "/v1/edges/follows", Role.ADMIN),
        ("GET", "/metrics", Role.ADMIN),
        ("HEAD", "/metrics", Role.ADMIN),
        ("POST", "/v1/feed/reload", Role.ADMIN),
        ("POST", "/v1/events/", Role.ADMIN),
        ("PUT", "/v1/feed/recommend", Role.ADMIN),
        ("DELETE", "/v1/anything/new", Role.ADMIN),
        ("POST", "/recommend", Role.ADMIN),
    ],
)
def test_the_role_that_a_route_needs(method: str, path: str, role: Role) -> None:
    assert needed_role(method, path) == role
