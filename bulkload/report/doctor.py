"""A diagnosis: lines for people, one object for programs."""

from typing import Any

from bulkload.engine.inspect.doctor import Check, Finding
from bulkload.report.display import clear_progress
from bulkload.report.sink import say, standard_output

# A sign on a terminal, a word elsewhere.
_SIGNS = {
    Finding.OK: ("✓", "green"),
    Finding.NOTE: ("!", "yellow"),
    Finding.FAILED: ("✗", "red"),
    Finding.SKIPPED: ("-", "bright_black"),
}


def show_check(check: Check) -> None:
    """One step, as soon as it is known."""
    clear_progress()
    sink = standard_output()
    if sink.isatty():
        sign, colour = _SIGNS[check.finding]
        sink.say_in_colour(f"{sign} {check.step:<9}", colour, f"  {check.words}")
    else:
        say(f"{check.finding.value:<7}  {check.step:<9}  {check.words}")


def diagnosis_object(endpoint: str | None, exit_code: int, checks: list[Check]) -> dict[str, Any]:
    """All steps and the exit code."""
    return {"endpoint": endpoint, "exit_code": exit_code, "checks": checks}
