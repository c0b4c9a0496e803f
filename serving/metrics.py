"""Counters of a serving process as Prometheus text."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


class Histogram:
    """Seconds, counted by upper bounds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str) -> list[str]:
        """Return the exposition without its heading."""
        total, lines = 0, []
        for bound, count in zip((*_BOUNDS_S, "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._sum:.9g}", f"{name}_count {total}"]


@dataclass
class Metrics:
    """What happened since the process started."""

    clients: int = 0
    connections: int = 0
    refusals: int = 0
    producers: int = 0
    failures: int = 0
    switches: int = 0
    skips: int = 0
    skipped_bins: int = 0
    sent_bins: int = 0
    bins: dict[str, int] = field(default_factory=dict)
    lag: Histogram = field(default_factory=Histogram)
    encode: Histogram = field(default_factory=Histogram)
    last_lag_seconds: float = 0.0

    def bin(self, serving_id: str, lag_seconds: float, encode_seconds: float) -> None:
        """Count a bin that became ready to be sent."""
        self.bins[serving_id] = self.bins.get(serving_id, 0) + 1
        self.last_lag_seconds = lag_seconds
        self.lag.add(lag_seconds)
        self.encode.add(encode_seconds)

    def skip(self, bins: int) -> None:
        """Count one move forward of a slow client."""
        self.skips += 1
        self.skipped_bins += bins

    def text(self) -> str:
        """Return the Prometheus exposition."""
        lines = []
        for name, kind, about, value in (
            ("clients", "gauge", "Clients connected now.", self.clients),
            ("producers", "gauge", "Replays alive now.", self.producers),
            ("lag_seconds_last", "gauge", "Lateness of the newest bin.", self.last_lag_seconds),
            ("connections_total", "counter", "Streams accepted.", self.connections),
            ("refusals_total", "counter", "Streams refused.", self.refusals),
            ("producer_failures_total", "counter", "Replays that failed.", self.failures),
            ("alias_switches_total", "counter", "Aliases that moved under clients.", self.switches),
            ("skips_total", "counter", "Times a slow client was moved forward.", self.skips),
            ("skipped_bins_total", "counter", "Bins slow clients missed.", self.skipped_bins),
            ("sent_bins_total", "counter", "Bins sent, over all clients.", self.sent_bins),
        ):
            lines += [*_heading(name, kind, about), f"qmachina_{name} {value:.9g}"]
        lines += _heading("bins_total", "counter", "Bins streamed, by serving id.")
        lines += [f'qmachina_bins_total{{serving="{k}"}} {n}' for k, n in self.bins.items()]
        for name, about, histogram in (
            ("lag_seconds", "From when a bin is due to when it is ready.", self.lag),
            ("encode_seconds", "Encoding of one bin.", self.encode),
        ):
            lines += _heading(name, "histogram", about) + histogram.lines(f"qmachina_{name}")
        return "\n".join(lines) + "\n"


def _heading(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP qmachina_{name} {about}", f"# TYPE qmachina_{name} {kind}"]
