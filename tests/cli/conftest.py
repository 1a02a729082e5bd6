"""What the histories of kills met, as a table at the end of the tests."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from tests.cli.histories import KILLS_A_HISTORY, Phase, Told

COUNTS = ("entries", "versions", "lost", "duplicate", "wrong_digest")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up what the tests recorded; under xdist their reports come from all processes."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    told = [
        msgspec.json.decode(text, type=Told)
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, text in report.user_properties
        if name == "history"
    ]
    if told:
        terminalreporter.section("kills")
        for line in (*_kills(told), *_outcome(told)):
            terminalreporter.write_line(line)


def _kills(told: Sequence[Told]) -> Iterator[str]:
    """A row a phase. A kill at a random moment is in each phase in which an entry was: one may be in several."""
    kills = [kill for history in told for kill in history.kills]
    named = Counter(kill.named for kill in kills)
    shown = Counter(phase for kill in kills if kill.named is None for phase in kill.shown)
    yield f"{'killed':<26}{'at a named point':>18}{'at a random moment':>20}"
    for phase in Phase:
        yield f"{phase:<26}{named[phase]:>18,}{shown[phase]:>20,}"
    yield f"{f'kills: {len(kills):,}':<26}{len(kills) - named[None]:>18,}{named[None]:>20,}"


def _outcome(told: Sequence[Told]) -> Iterator[str]:
    """What the registries hold in the end, and how to see each violation again."""
    judged = [history.found for history in told if history.found is not None]
    for name in COUNTS:
        yield f"{name.replace('_', ' '):<26}{sum(getattr(found, name) for found in judged):>18,}"
    violations = 0
    for history in told:
        wrong = ["it broke off"] if history.found is None else history.found.violations
        violations += len(wrong)
        for what in wrong:
            yield f"seed {history.seed}: {what}; again: make crash KILLS={KILLS_A_HISTORY} SEED={history.seed}"
    yield f"{len(told):,} histories, {violations:,} violations"
