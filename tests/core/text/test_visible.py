"""What a terminal would obey is shown; all else stays as it is."""

import json
import sys
import unicodedata

import pytest

from bulkload.core.text.visible import spreadsheet_cell, visible, visible_json, visible_line

# Categories of signs that show nothing of themselves: controls, formats, surrogates, separators of lines.
OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Formats that show something: marks before a number in Arabic, Syriac and Kaithi.
SHOWN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_no_sign_of_unicode_is_obeyed():
    """Each of the 1,114,112, but the line feed and the tab."""
    wrong = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if (unicodedata.category(chr(code)) in OBEYED and code not in SHOWN)
        and visible(chr(code)) == chr(code)
        and chr(code) not in "\n\t"
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["plain", "Modèle ☃ 模型 🚀", "a\n\tb", "ﷺ १२३", "a\u00a0b", "e\u0301", "\u0600١"])
def test_words_stay_words(text):
    """Of any language."""
    assert visible(text) == text
    assert visible_json(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("\x1b[2K\rbulkload: all published", r"\x1b[2K\rbulkload: all published"),
        ("gpj.\u202exe", r"gpj.\u202exe"),
        ("churn\u200b", r"churn\u200b"),
        ("name-\udcff", r"name-\xff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[\x1b[31m31mred", r"\x1b[31mred"),
        ("\x1b[8mhidden", "hidden"),
        ("a\u2028b", r"a\u2028b"),
    ],
)
def test_what_would_be_obeyed_is_shown(text, shown):
    """Colours are taken away: programs whose output is quoted paint it."""
    assert visible(text) == visible_line(text) == shown
    shown.encode()


def test_one_line_stays_one():
    """A name cannot begin a line that looks like one of ours."""
    assert visible_line("a\nbulkload: done\tyes") == r"a\nbulkload: done\tyes"


def test_json_keeps_its_value():
    """An escape is the same text."""
    for text in ("\x9b\u202e\x7f\u2028\U000e0041 ☃", "\x1b"):
        data = json.dumps({"a": text}, ensure_ascii=False)
        assert json.loads(visible_json(data)) == {"a": text}
        assert visible(visible_json(data)) == visible_json(data)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u200b=1", "=", "-", "＝1",
     "\x00=1", "-1+1", "--1", "+1 2", "-1e", "\t1"],
)  # fmt: skip
def test_a_formula_is_text(text):
    """Whatever a spreadsheet might calculate, also behind blanks and in full width."""
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "a", "1", "-1", "+1.5", "-.5e-3", "1-1", "a=b", "2026-01-06T16:34:30Z", "{}", "'=1"]
)
def test_other_cells_stay_as_they_are(text):
    """Numbers are numbers."""
    assert spreadsheet_cell(text) == text
