"""A plan, for people and for programs."""

from typing import Any

from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.summary import run_error
from bulkload.core.model.units import show_bytes
from bulkload.engine.plan import Action, Plan, Step

# More rows than anyone reads; the totals count all.
MOST_ROWS = 500


class PlanTable:
    """The entries with which something would be done, as they are told."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._more = 0

    def add(self, step: Step) -> None:
        """Remember one entry, unless there is nothing to do with it."""
        if step.action is Action.NOTHING:
            return
        if len(self._rows) >= MOST_ROWS:
            self._more += 1
            return
        entry = step.entry.entry
        size = "" if step.entry.look is None else show_bytes(step.entry.look.size)
        framework = entry.conversion.framework
        self._rows.append(
            (str(entry.line), entry.name, entry.version or "", framework, size, step.action.value, step.note)
        )

    def show(self) -> None:
        """Print the table."""
        from bulkload.report.fitting import Fit, print_fitted
        from bulkload.report.sink import say, standard_output
        from bulkload.report.tables import Column

        if not self._rows:
            return
        columns = (
            Column("line", right=True), Column("name"), Column("label"), Column("framework"),
            Column("size", right=True), Column("action"), Column("note", note=True),
        )  # fmt: skip
        fit = Fit(
            narrowed=(("name", 26), ("label", 8), ("framework", 12), ("name", 12)),
            spare=("label", "size", "framework"),
            folded="name",
        )
        print_fitted(columns, self._rows, standard_output(), fit)
        if self._more:
            say(f"... and {self._more:,} more")


def plan_lines(plan: Plan, *, offline: bool) -> list[str]:
    """The totals in words."""
    noun = "entry" if plan.entries == 1 else "entries"
    if offline:
        warned = f", {plan.warnings:,} warning{'' if plan.warnings == 1 else 's'}" if plan.warnings else ""
        return [f"{plan.entries:,} {noun}, no problem found{warned}; no registry was asked", *_outside_lines(plan)]
    words = {
        Action.UPLOAD: f"to upload ({show_bytes(plan.bytes_to_send)})",
        Action.SKIP: "already there",
        Action.RECONCILE: "to reconcile",
        Action.POLL: "to poll",
    }
    counts = [f"{plan.actions[action]:,} {word}" for action, word in words.items() if plan.actions[action]]
    counts += [f"{plan.settled[state]:,} {state}" for state in State if plan.settled[state]]
    lines = [f"{plan.entries:,} {noun}: {', '.join(counts)}"]
    if again := plan.settled[State.ERROR]:
        lines.append(
            f"{again:,} in error {'stays' if again == 1 else 'stay'} so: --retry-failed publishes new versions"
        )
    if plan.workspaces_to_create:
        lines.append(f"workspaces to create: {', '.join(plan.workspaces_to_create)}")
    return lines + _outside_lines(plan)


def _outside_lines(plan: Plan) -> list[str]:
    if not plan.outside.count:
        return []
    files = "1 file lies" if plan.outside.count == 1 else f"{plan.outside.count:,} files lie"
    example = f", such as {plan.outside.example}" if plan.outside.count > 1 else f": {plan.outside.example}"
    return [f"{files} outside the manifest's folder{example}; --root DIR refuses what lies outside DIR"]


def plan_object(plan: Plan) -> dict[str, Any]:
    """The totals, for programs."""
    return {
        "manifest": plan.manifest,
        "endpoint": plan.endpoint,
        "entries": plan.entries,
        "actions": {action.value: plan.actions[action] for action in Action},
        "settled": {state.value: plan.settled[state] for state in State if state in TERMINAL},
        "bytes_to_send": plan.bytes_to_send,
        "workspaces_to_create": list(plan.workspaces_to_create),
        "warnings": plan.warnings,
        "outside": plan.outside.count,
        "error": None,
    }


def failed_plan_object(manifest: str, error: Exception) -> dict[str, Any]:
    """Of a plan that could not be made."""
    states = {state.value: 0 for state in State}
    return {"manifest": manifest, "error": run_error(states, 0, error)}
