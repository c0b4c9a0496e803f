"""What a serving process is told on the command line."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from qmachina.errors import RefusedError

#: Environment variable that holds the token a reachable server demands.
TOKEN = "QMACHINA_TOKEN"


@dataclass(frozen=True)
class Settings:
    """How a process listens and paces; what it streams is its catalogue's business.

    Parameters
    ----------
    host : str
        Address to listen at.
    port : int
        0 takes any free one.
    token : str or None
        Demanded of every client; needed where others can reach the host.
    speed : float or None
        Seconds of the market per second of replay; None: as fast as possible.
    lead_bins : int
        First bins of a replay that are not paced, so that a page has something to show.
    backlog_bins : int
        Bins from the past that a new client gets at once.
    ring_bins : int
        Bins held for late joiners, resumes and slow clients. A client further behind is
        moved forward.
    grace_seconds : float
        How long a producer outlives its last client.
    poll_seconds : float
        Between two looks at the registry.
    """

    host: str = "127.0.0.1"
    port: int = 8002
    token: str | None = None
    speed: float | None = 1.0
    lead_bins: int = 0
    backlog_bins: int = 600
    ring_bins: int = 1024
    grace_seconds: float = 5.0
    poll_seconds: float = 0.2

    def __post_init__(self) -> None:
        if not self.loopback and not self.token:
            raise RefusedError(
                "a host that others can reach needs a token",
                subject=self.host,
                remedy=f"Set {TOKEN}, or listen at 127.0.0.1",
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
