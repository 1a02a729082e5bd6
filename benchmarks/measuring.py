"""What all measurements share: where they work, how large, and pairs that are run in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.certificate import Certificate, make_certificate
from benchmarks.processes import Ended
from benchmarks.progress import step
from benchmarks.server import DiscardingServer

Client = Callable[[DiscardingServer], Ended]


@dataclass(frozen=True)
class Bench:
    """Where measurements work, and how large they are."""

    folder: Path
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """A size, a number of rounds, a time."""
        return quick if self.quick else full

    @cached_property
    def certificate(self) -> Certificate:
        """What https is measured with."""
        return make_certificate(self.folder)


@dataclass(frozen=True)
class Timed:
    """One client's whole work."""

    ended: Ended
    # Of the server meanwhile.
    server_cpu_seconds: float

    @property
    def seconds(self) -> float:
        """From the process's start to its end."""
        return self.ended.seconds


# A client -> one a round.
Timing = dict[str, list[Timed]]


def in_turn(rounds: int, clients: dict[str, Client], *options: str, certificate: Certificate | None = None) -> Timing:
    """A B C, A B C, ...: what disturbs the machine for a while disturbs all of them. Each finds a server of its own.

    ``options`` are the server's. ``certificate``: over https.
    """
    timed: Timing = {name: [] for name in clients}
    scheme = "http" if certificate is None else "https"
    for number in range(1, rounds + 1):
        for name, client in clients.items():
            words = f"{number}/{rounds} {name}, {scheme}"
            with step(words), DiscardingServer(*options, certificate=certificate) as server:
                ended = client(server)
                timed[name].append(Timed(ended, server.counts["cpu_seconds"]))
    return timed


def ratios(over: list[Timed], under: list[Timed]) -> list[float]:
    """Seconds against seconds, pair by pair."""
    return [one.seconds / other.seconds for one, other in zip(over, under, strict=True)]


def cpu_ratios(over: list[Timed], under: list[Timed]) -> list[float]:
    """CPU seconds against CPU seconds, pair by pair, of as many pairs as there are."""
    return [one.ended.cpu_seconds / other.ended.cpu_seconds for one, other in zip(over, under, strict=True)]


def seconds_of(timed: Timing) -> dict[str, list[float]]:
    """How long each took."""
    return {name: [one.seconds for one in all_timed] for name, all_timed in timed.items()}


def figures(timed: Timing) -> dict[str, list[float]]:
    """For the results file: what else each client and the server took."""
    found: dict[str, list[float]] = {}
    for name, all_timed in timed.items():
        found[f"{name}: CPU seconds"] = [one.ended.cpu_seconds for one in all_timed]
        found[f"{name}: peak MB"] = [one.ended.peak_bytes / 1e6 for one in all_timed]
        found[f"{name}: the server's CPU seconds"] = [one.server_cpu_seconds for one in all_timed]
    return found


def server_note(timed: Timing) -> str:
    """Evidence that nobody waited for the server: how busy it was at most."""
    share = max(one.server_cpu_seconds / one.seconds for all_timed in timed.values() for one in all_timed)
    return f"the server was busy for {100 * share:.0f} % of the time at most"
