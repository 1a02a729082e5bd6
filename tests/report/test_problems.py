"""Problems for people: a line a kind, with its count and the first places."""

from bulkload.core.model.records import Problem
from bulkload.report.problems import MOST_KINDS, problem_lines


def problem(place: str, what: str, *, field: str = "path", remedy: str = "check it", kind: str = "") -> Problem:
    return Problem(manifest="m.csv", place=place, field=field, what=what, remedy=remedy, kind=kind)


def lines_of(*problems: Problem) -> list[str]:
    return list(problem_lines(problems, each=False)[0])


def test_one_problem_is_shown_as_it_is():
    one = problem("line 3", "a.onnx does not exist")
    assert lines_of(one) == [str(one)]


def test_the_same_in_many_rows_is_one_line():
    same = [problem(f"line {line}", 'unknown field "tag"', field="") for line in range(2, 200_002)]
    lines, is_cut = problem_lines(same, each=False)
    assert list(lines) == ['m.csv: lines 2, 3, 4, ... (200,000 in all): unknown field "tag"; check it']
    assert is_cut


def test_many_of_one_kind_are_one_line_with_an_example():
    many = [problem(f"row {row}", f"{row}.onnx does not exist", kind="does not exist") for row in range(10)]
    assert lines_of(*many) == [
        "m.csv: rows 0, 1, 2, ... (10 in all): path: for example 0.onnx does not exist; check it"
    ]


def test_a_few_of_one_kind_are_shown_each():
    few = [problem(f"line {line}", f'"{line}" is no id') for line in range(3)]
    assert lines_of(*few) == list(map(str, few))
    assert not problem_lines(few, each=False)[1]


def test_two_of_the_same_name_both_places():
    same = [problem("line 2", "is empty"), problem("defaults", "is empty")]
    assert lines_of(*same) == ["m.csv: line 2 and defaults: path: is empty; check it"]


def test_kinds_come_in_the_order_of_their_first_places_and_hide_none():
    mixed = [problem(f"line {n}", what, field=field) for n in range(9) for field, what in (("b", "x"), ("a", "y"))]
    assert [line.split(": ")[2] for line in lines_of(*mixed)] == ["b", "a"]


def test_each_problem_is_shown_where_that_is_asked():
    same = [problem(f"line {line}", "is empty") for line in range(50)]
    lines, is_cut = problem_lines(same, each=True)
    assert list(lines) == list(map(str, same))
    assert not is_cut


def test_kinds_without_end_are_counted_together():
    kinds = [problem(f"line {n}", f"unknown field x{n}y", field=f"f{n}", kind=f"k{n}") for n in range(5_000)]
    assert len(lines_of(*kinds)) <= 2 * MOST_KINDS + 1
