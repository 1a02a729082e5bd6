"""The one way out: what is printed, by whichever door, and what becomes of what cannot be."""

import contextlib
import io
import json
import os
from pathlib import Path

import pytest

from bulkload.core.model.errors import OutputLost, ReaderGone
from bulkload.report.sink import Sink, as_json, give_json, say, tell


def test_lines_leave_at_once_and_data_in_pieces(tmp_path):
    """`verify --json | jq` shows each difference when it is found; a million rows are no million writes."""
    with (tmp_path / "out").open("w") as stream, contextlib.redirect_stdout(stream):
        say("a line")
        give_json({"a": 1})
        assert (tmp_path / "out").read_text() == 'a line\n{"a":1}\n'
        sink = Sink(stream)
        sink.give(b"data")
        assert "data" not in (tmp_path / "out").read_text()
        sink.flush()
        assert (tmp_path / "out").read_text().endswith("data")


def test_text_of_any_kind_leaves_in_any_encoding(tmp_path):
    """Also one that has a state: its mark stands once."""
    for encoding in ("ascii", "latin-1", "utf-8", "utf-16", "shift_jis"):
        with (tmp_path / "out").open("w", encoding=encoding) as stream:
            sink = Sink(stream)
            sink.say("Modèle ☃ \udcff")
            sink.flush()
            sink.say("again")
            sink.flush()
        first, second, rest = (tmp_path / "out").read_bytes().decode(encoding).split("\n")
        assert (second, rest) == ("again", "")
        assert first.endswith(r"\xff")
        assert "\ufeff" not in first


def test_json_of_a_name_that_is_no_text(tmp_path):
    """A path of bytes that are no UTF-8 does not end `status --json`."""
    assert json.loads(as_json({"path": "a\udcff"})) == {"path": "a\udcff"}
    assert as_json({"path": "a\x9b\u202e☃"}).decode() == r'{"path":"a\u009b\u202e' + '☃"}'


def test_what_is_lost_is_lost_once_and_for_all():
    """Whoever goes on to write hears of it again; nothing is tried again at the exit."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        sink = Sink(stream)
        sink.say("x")
        for _ in range(2):
            with pytest.raises(ReaderGone):
                sink.flush()
        lasting = Sink(stream, lasting=True)
        lasting.say("x")
        lasting.say("y")
        assert isinstance(lasting.lost, ReaderGone)
    with Path("/dev/full").open("w") as stream:
        sink = Sink(stream, name="report.html")
        with pytest.raises(OutputLost, match=r"report.html cannot be written \(No space left on device\)"):
            sink.give(b"x" * 100_000)


def test_data_is_no_text_for_people():
    """A programmer's mistake is no output."""
    with pytest.raises(TypeError):
        Sink(io.StringIO()).write(b"x")  # type: ignore[arg-type]


def test_outside_a_command_what_is_printed_passes_a_sink_too():
    """A notebook, a test: whatever the streams are."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        say("a\x1b]0;t\x07")
        tell("b\nc")
    assert (out.getvalue(), err.getvalue()) == ("a\\x1b]0;t\\x07\n", "b\\nc\n")
