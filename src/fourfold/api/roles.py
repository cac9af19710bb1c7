"""What a key may do: three roles, each with all that the one before it may, and the role that each route needs."""

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do: read slates and states; write events too; or everything."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether this role is enough where `needed` is asked for."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


def needed_role(method: str, path: str) -> Role:
    """The role that a request needs. What is not listed here needs an admin, so that a new route is closed until it is."""
    if method == "POST" and path == "/v1/events":
        return Role.WRITE
    if method in ("PATCH", "PUT", "DELETE") and path.startswith(("/v1/entities/", "/v1/edges/")):
        return Role.WRITE
    if method == "POST" and path.startswith("/v1/") and path.endswith("/recommend"):
        return Role.READ
    if method in ("GET", "HEAD") and path != "/metrics":
        return Role.READ
    return Role.ADMIN
