"""What a worker process is told to do. It goes over a pipe, because arguments and environments can be read by others."""

from msgspec import Struct

from fourfold.api.limits import Rate


class Assignment(Struct, frozen=True, kw_only=True):
    """What one worker serves.

    Parameters
    ----------
    home : str
        Where everything lies.
    surfaces : tuple of str
        What to serve.
    keys : tuple of str
        API keys, beside those of the home.
    closed : bool
        Whether requests need a key even where there is none: others can reach the host.
    rate : Rate
        What each key may send to this worker.
    log_share : float
        Which share of the requests that went well has a line in the log.
    certificate, certificate_key : str, optional
        PEM files, to serve over https.
    socket : int
        The file descriptor of the listening socket, which the worker inherits.
    commits : bool
        Whether it commits the state that it computes; one worker of a service does.
    stands_in_soon : bool
        Whether it commits in place of another that has ended after a few rounds of upkeep, not only after many.
    warm_first : bool
        Whether it accepts requests only once it can answer them: so where another worker answers meanwhile.
    """

    home: str
    surfaces: tuple[str, ...]
    keys: tuple[str, ...]
    closed: bool
    rate: Rate
    log_share: float
    certificate: str | None
    certificate_key: str | None
    socket: int
    commits: bool = False
    stands_in_soon: bool = False
    warm_first: bool = False
