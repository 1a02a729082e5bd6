"""What all measurements share: where they work, how large, and pairs that are run in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def in_turn(rounds: int, clients: dict[str, Client], *options: str) -> dict[str, list[Timed]]:
    """A B C, A B C, ...: what disturbs the machine for a while disturbs all of them. Each finds a server of its own."""
    timed: dict[str, list[Timed]] = {name: [] for name in clients}
    for number in range(1, rounds + 1):
        for name, client in clients.items():
            with step(f"{number}/{rounds} {name}"), DiscardingServer(*options) as server:
                ended = client(server)
                timed[name].append(Timed(ended, server.counts["cpu_seconds"]))
    return timed


def ratios(over: list[Timed], under: list[Timed]) -> list[float]:
    """Seconds against seconds, pair by pair."""
    return [one.seconds / other.seconds for one, other in zip(over, under, strict=True)]


def figures(timed: dict[str, list[Timed]]) -> dict[str, list[float]]:
    """For the results file: what each client and the server took."""
    found: dict[str, list[float]] = {}
    for name, all_timed in timed.items():
        found[f"{name}: seconds"] = [one.seconds for one in all_timed]
        found[f"{name}: CPU seconds"] = [one.ended.cpu_seconds for one in all_timed]
        found[f"{name}: the server's CPU seconds"] = [one.server_cpu_seconds for one in all_timed]
    return found


def server_note(timed: dict[str, list[Timed]]) -> str:
    """Evidence that nobody waited for the server: how busy it was at most."""
    share = max(one.server_cpu_seconds / one.seconds for all_timed in timed.values() for one in all_timed)
    return f"the server was busy for {100 * share:.0f} % of the time at most"
