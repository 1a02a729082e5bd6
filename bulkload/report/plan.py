"""A plan, for people and for programs: what changes by what it is and why, and each entry where they are few."""

from dataclasses import dataclass, field
from typing import Any

from bulkload.core.model.states import TERMINAL, State
from bulkload.core.model.summary import CauseCount, run_error
from bulkload.core.model.units import show_bytes
from bulkload.engine.plan import Action, Plan, Step
from bulkload.report.tables import one_line
from bulkload.system.spilling import SpilledList

# So many entries are shown each; of more only where that is asked.
FEW = 20
# Names that a line gives as examples.
MOST_NAMES = 3
# Reasons that are told apart; what comes beyond is counted together.
MOST_REASONS = 100

WORDS = {
    Action.UPLOAD: "to upload",
    Action.SKIP: "to skip",
    Action.RECONCILE: "to reconcile",
    Action.POLL: "to poll",
}


@dataclass(slots=True)
class _Group:
    """Entries with which the same is done for the same reason."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < MOST_NAMES:
            self.names.append(name)


class PlanView:
    """What would be done, as it is told."""

    def __init__(self, *, all_entries: bool = False) -> None:
        """``all_entries``: each, however many there are."""
        self._all = all_entries
        self._rows: SpilledList[list[str]] = SpilledList(pack=list, unpack=list)
        self._count = 0
        self._groups: dict[tuple[Action, str], _Group] = {}

    def add(self, step: Step) -> None:
        """Remember one entry, unless there is nothing to do with it."""
        if step.action is Action.NOTHING:
            return
        self._count += 1
        entry = step.entry.entry
        key = (step.action, step.why)
        if key not in self._groups and len(self._groups) >= MOST_REASONS:
            key = (step.action, "other reasons")
        self._groups.setdefault(key, _Group()).add(entry.name)
        if not self._all and self._count > FEW:
            return
        size = "" if step.entry.look is None else show_bytes(step.entry.look.size)
        note = ": ".join(part for part in (step.why, step.note) if part)
        framework = entry.conversion.framework
        self._rows.append([str(entry.line), entry.name, entry.version or "", framework, size, WORDS[step.action], note])

    def show(self, plan: Plan) -> None:
        """Print it."""
        from bulkload.report.sink import say

        if self._all or 0 < self._count <= FEW:
            self._show_entries()
        lines = self._lines(plan)
        if lines:
            say(*lines)

    def _show_entries(self) -> None:
        from bulkload.report.fitting import Fit, print_fitted
        from bulkload.report.sink import say, standard_output
        from bulkload.report.tables import Column, Rows

        columns = (
            Column("line", right=True), Column("name"), Column("label"), Column("framework"),
            Column("size", right=True), Column("action"), Column("why", note=True),
        )  # fmt: skip
        fit = Fit(
            narrowed=(("framework", 12),), spare=("size", "framework", "label", "line"), folded="name", folded_to=8
        )
        print_fitted(columns, Rows(lambda: self._rows), standard_output(), fit)
        say("")

    def _lines(self, plan: Plan) -> list[str]:
        lines = []
        for action, word in WORDS.items():
            groups = {why: group for (done, why), group in self._groups.items() if done is action}
            if groups:
                size = f" ({show_bytes(plan.bytes_to_send)})" if action is Action.UPLOAD else ""
                lines.append(f"{word}: {plan.actions[action]:,}{size}")
                lines += [f"  {group.count:>9,}  {why}: {_examples(group)}" for why, group in groups.items()]
        if plan.failures:
            lines.append(f"cannot go: {sum(each.count for each in plan.failures):,}")
            lines += [f"  {each.count:>9,}  {each.cause}: {_such_as(each)}" for each in plan.failures]
        return lines


def _examples(group: _Group) -> str:
    return f"{', '.join(group.names)}{', ...' if group.count > len(group.names) else ''}"


def _such_as(failure: CauseCount) -> str:
    return f"{'' if failure.count == 1 else 'such as '}{one_line(failure.example)}"


def plan_lines(plan: Plan, *, offline: bool) -> list[str]:
    """The totals in words."""
    noun = "entry" if plan.entries == 1 else "entries"
    if offline:
        warned = f", {plan.warnings:,} warning{'' if plan.warnings == 1 else 's'}" if plan.warnings else ""
        return [f"{plan.entries:,} {noun}, no problem found{warned}; no registry was asked", *_outside_lines(plan)]
    words = WORDS | {Action.UPLOAD: f"{WORDS[Action.UPLOAD]} ({show_bytes(plan.bytes_to_send)})"}
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
        "failures": plan.failures,
        "error": None,
    }


def failed_plan_object(manifest: str, error: Exception) -> dict[str, Any]:
    """Of a plan that could not be made."""
    states = {state.value: 0 for state in State}
    return {"manifest": manifest, "error": run_error(states, 0, error)}
