"""A diagnosis: lines for people, one object for programs."""

import sys

import click
import msgspec

from bulkload.engine.diagnosing import Check, Finding
from bulkload.report.progress import clear_progress

# A sign on a terminal, a word elsewhere.
_SIGNS = {
    Finding.OK: ("✓", "green"),
    Finding.NOTE: ("!", "yellow"),
    Finding.FAILED: ("✗", "red"),
    Finding.SKIPPED: ("-", "bright_black"),
}


def show_check(check: Check) -> None:
    """One step, as soon as it is known."""
    clear_progress(sys.stderr)
    if sys.stdout.isatty():
        sign, colour = _SIGNS[check.finding]
        click.echo(f"{click.style(f'{sign} {check.step:<9}', fg=colour)}  {check.words}")
    else:
        click.echo(f"{check.finding.value:<7}  {check.step:<9}  {check.words}")


def diagnosis_object(endpoint: str | None, exit_code: int, checks: list[Check]) -> str:
    """All steps and the exit code."""
    return msgspec.json.encode({"endpoint": endpoint, "exit_code": exit_code, "checks": checks}).decode()
