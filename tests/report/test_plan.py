"""A plan for people: what changes by what it is and why; each entry only where they are few, or asked for."""

import io
from contextlib import redirect_stdout

from bulkload.core.model.records import Conversion, Entry, Look
from bulkload.core.model.states import State
from bulkload.core.model.summary import CauseCount
from bulkload.engine.plan import Action, Plan, Step
from bulkload.ledger.records import LedgerEntry
from bulkload.report.plan import FEW, MOST_REASONS, PlanView, plan_object


def step(line: int, action: Action, why: str, note: str = "") -> Step:
    entry = Entry(line=line, name=f"m{line}", path="p", source="/p", conversion=Conversion(framework="onnx"))
    found = LedgerEntry(
        id=line, workspace_id=1, entry=entry, state=State.PLANNED, look=Look(1_000, None), sha256=None,
        fence=frozenset(), sealed=False, version_id=None, owned=False, retry_requested=False, in_manifest=True,
    )  # fmt: skip
    return Step(found, action, why, note)


def shown(steps: list[Step], *, all_entries: bool = False, failures: tuple[CauseCount, ...] = ()) -> list[str]:
    view, plan = PlanView(all_entries=all_entries), Plan("m.csv", "https://r", failures=failures)
    for each in steps:
        plan.actions[each.action] += 1
        plan.bytes_to_send += 1_000 if each.action is Action.UPLOAD else 0
        view.add(each)
    with redirect_stdout(io.StringIO()) as out:
        view.show(plan)
    return out.getvalue().splitlines()


MANY = [
    *(step(line, Action.UPLOAD, "not in the registry") for line in range(1, 2_001)),
    *(step(line, Action.SKIP, "an equal version is there (ready)", f"equal to {line}") for line in range(2_001, 2_003)),
    step(2_003, Action.NOTHING, "ready"),
]


def test_many_entries_are_a_line_a_reason():
    failure = CauseCount(cause="conversion_error", count=8, example="m9: no Inference class", message="no")
    assert shown(MANY, failures=(failure,)) == [
        "to upload: 2,000 (2.0 MB)",
        "      2,000  not in the registry: m1, m2, m3, ...",
        "to skip: 2",
        "          2  an equal version is there (ready): m2001, m2002",
        "cannot go: 8",
        "          8  conversion_error: such as m9: no Inference class",
    ]


def test_few_entries_are_shown_each():
    lines = shown([step(line, Action.UPLOAD, "not in the registry") for line in range(FEW)])
    assert lines[0].split() == ["line", "name", "label", "framework", "size", "action", "why"]
    assert len(lines) == 1 + FEW + 1 + 2


def test_each_entry_is_shown_where_that_is_asked():
    lines = shown(MANY, all_entries=True)
    assert len(lines) == 1 + 2_002 + 1 + 4
    assert lines[2_002].endswith("to skip    an equal version is there (ready): equal to 2002")


def test_reasons_without_end_are_counted_together():
    lines = shown([step(line, Action.UPLOAD, f"reason {line}") for line in range(5_000)])
    assert len(lines) == 1 + MOST_REASONS + 1
    assert lines[-1].startswith("      4,900  other reasons: m100")


def test_a_program_gets_what_cannot_go_and_why():
    failure = CauseCount(cause="c", count=8, example="m: x", message="x")
    found = plan_object(Plan("m.csv", "https://r", failures=(failure,)))
    assert (found["failures"], found["error"]) == ((failure,), None)
