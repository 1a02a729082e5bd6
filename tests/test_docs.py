"""README, docs, ``--help``, the design and the code say the same."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest

from bulkload.cli import COMMANDS, cli
from bulkload.cli.results import EXTENSIONS, FORMATS
from bulkload.core import bounds
from bulkload.core.contract.frameworks import FRAMEWORKS
from bulkload.core.model.attempts import Attempt, Equal
from bulkload.core.model.errors import ExitCode
from bulkload.core.model.events import Event
from bulkload.core.model.states import MOVES, State
from bulkload.core.model.summary import RequestCounts, RunError, RunSummary
from bulkload.core.transitions import FOLLOWS, Then
from bulkload.ledger.reader import RESULT_COLUMNS
from bulkload.report.results import SCHEMA_VERSION, type_of

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()


def flags_of(command: str) -> set[str]:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    return {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def test_the_command_line_page_is_what_the_code_says():
    """`make docs` was run after the last change of a flag."""
    written = (REPOSITORY / "docs" / "command-line.md").read_text()
    script = REPOSITORY / "docs" / "command_line.py"
    generated = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    assert generated == written, "run `make docs`"


def test_the_state_table_of_the_docs_is_the_one_of_the_code():
    """Every move, and no other."""
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    written = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert written == {
        (before.value, after.value, when) for before, moves in MOVES.items() for after, when in moves.items()
    }


def test_the_attempt_tables_of_the_docs_are_those_of_the_code():
    """Every attempt with its words, its next state and what follows; every thing that follows."""
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    table = page[page.index("| attempt |") : page.index("| then | what is done |")]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| ([\w ]+) \|$", table, re.MULTILINE)
    attempts = {kind.__name__: kind for kind in get_args(Attempt)}
    assert [row[0] for row in rows] == list(attempts)
    for name, words, after, then in rows:
        said, _, _ = (attempts[name].__doc__ or "").partition("\n")[0].partition(". ")
        assert words.casefold() == said.removesuffix(".").casefold()
        if attempts[name] is Equal:
            assert (after, then) == ("that of the equal version", Then.REST.value)
        else:
            assert (after, then) == (f"`{FOLLOWS[attempts[name]][0]}`", FOLLOWS[attempts[name]][1].value)
    follows = page[page.index("| then | what is done |") : page.index("An answer that names a version")]
    assert re.findall(r"^\| ([\w ]+) \|", follows, re.MULTILINE)[1:] == [then.value for then in Then]


GLOSSARY = re.findall(
    r"^- \*\*(.+?)\*\*: [^\n]+ \(`([\w/.]+)`\)$", (REPOSITORY / "docs" / "glossary.md").read_text(), re.MULTILINE
)
PACKAGE = REPOSITORY / "bulkload"


def letters(text: str) -> str:
    """``laidaside`` for "laid aside", ``EntryLaidAside`` and ``laid_aside``."""
    return re.sub(r"[^a-z]", "", text.lower())


def test_the_glossary_is_one_line_a_word_in_alphabetical_order():
    page = (REPOSITORY / "docs" / "glossary.md").read_text()
    words = [word for word, _ in GLOSSARY]
    assert len(words) == len([line for line in page[page.index("\n- ") :].splitlines() if line])
    assert words == sorted(set(words))


@pytest.mark.parametrize(("word", "file"), GLOSSARY)
def test_a_word_of_the_glossary_stands_where_it_says(word: str, file: str) -> None:
    """In the package, in this file, however it is written there."""
    assert letters(word) in letters((PACKAGE / file).read_text())


def test_the_words_that_the_story_marks_are_in_the_glossary():
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    marked = set(re.findall(r"(?<!\*)\*([a-z][a-z -]+)\*(?!\*)", page)) - {"italics"}
    known = {word for word, _ in GLOSSARY}
    assert marked
    assert not {word for word in marked if word not in known and word.removesuffix("s") not in known} - INFLECTED


def test_every_file_that_the_story_names_exists():
    """Below ``bulkload/``, or in the repository."""
    page = (REPOSITORY / "docs" / "how-it-works.md").read_text()
    named = set(
        re.findall(r"(?<![\w/.-])((?:cli|core|engine|ledger|manifest|registry|report|source|tests)/[\w/.]*)", page)
    )
    assert len(named) > len(State)
    assert not [name for name in named if not ((PACKAGE / name).exists() or (REPOSITORY / name).exists())]


def test_every_link_of_a_page_leads_somewhere():
    """To a file of the repository, and there to a heading."""
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            target, _, heading = link.partition("#")
            if "://" in link:
                continue
            found = (page.parent / target) if target else page
            assert found.exists(), f"{page.name}: {link}"
            if heading:
                titles = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert heading in anchors, f"{page.name}: {link}"


# In the story -> in the glossary: adopt, hold, seal.
INFLECTED = {"adopted", "holds", "sealed"}

# Words that were given up for the field's own -> those, and where they had that meaning.
GIVEN_UP = {
    r"lanes?": ("per-model queue", ("bulkload", "docs")),
    r"gates?": ("rate limiter", ("bulkload", "docs")),
    r"(give|gives|given|take|takes|taken) leave": ("permit", ("bulkload/core", "bulkload/engine")),
    r"retaken?|retakes?": ("retry requested", ("bulkload/core", "bulkload/engine", "bulkload/ledger")),
    r"heads": ("next entry", ("bulkload/core", "bulkload/engine", "bulkload/ledger")),
    r"twins?(?! ledger)": ("duplicate", ("bulkload",)),
    r"alone(?=: bool|=)": ("only version", ("bulkload",)),
}


@pytest.mark.parametrize("word", GIVEN_UP)
def test_a_word_that_was_given_up_is_gone(word: str) -> None:
    """One thing has one name."""
    better, folders = GIVEN_UP[word]
    pages = [page for folder in folders for page in (REPOSITORY / folder).rglob("*") if page.suffix in (".py", ".md")]
    given_up = re.compile(rf"(?i)(?<![a-z])({word})(?![a-z])")
    found = [str(page.relative_to(REPOSITORY)) for page in pages if given_up.search(page.read_text())]
    assert pages
    assert not found, f"say {better}"


def test_the_readme_names_every_state_exit_code_and_command():
    """A user finds what the program prints."""
    for state in State:
        assert f"`{state.value}`" in README
    table = README[README.index("| exit code |") : README.index("All but 2, 4 and 11")]
    for code in re.findall(r"\d+", "".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line)):
        assert int(code) in {int(known) for known in ExitCode}
    for command in COMMANDS:
        assert f"bulkload {command}" in README or f"`{command}`" in README


def test_the_events_page_is_what_the_code_tells():
    """Every kind, with its fields in their order, and no other."""
    page = (REPOSITORY / "docs" / "events.md").read_text()
    written = dict(re.findall(r"^\| `(\w+)` \| `([\w, ]+)` \|", page, re.MULTILINE))
    assert written == {kind.__name__: ", ".join(kind.__struct_fields__) for kind in Event.__subclasses__()}


def test_every_flag_that_a_page_shows_exists():
    """No promise that the command line does not keep."""
    known = {"--help", "--version", "--config"}.union(*(all_flags(name) for name in COMMANDS))
    for page in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text()):
            assert flag in known, f"{page.name}: {flag}"


def all_flags(name: str) -> set[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    return {
        flag for one in commands for parameter in one.params for flag in (*parameter.opts, *parameter.secondary_opts)
    }


def test_the_manifest_page_names_every_framework():
    """Sorted, as the code has them."""
    page = (REPOSITORY / "docs" / "manifest.md").read_text()
    assert ", ".join(f"`{name}`" for name in sorted(FRAMEWORKS)) in page


def test_the_help_of_every_command_is_its_line_in_the_list():
    """`bulkload --help` needs no imports for its list, and still says what the commands say."""
    for name, (_, line) in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.get_short_help_str(200) == line


@pytest.fixture(scope="module")
def design() -> str:
    """The contract, where it lies beside the repository."""
    page = REPOSITORY.parent / "shared" / "design.md"
    if not page.is_file():
        pytest.skip("there is no design page")
    return page.read_text()


def test_the_columns_of_results_are_the_designs(design):
    """Scripts rely on names and order."""
    listed = re.search(r"shows the last one: `([^`]+)`", design)
    assert listed is not None
    # The second page adds two, last.
    names = [name.strip() for name in listed.group(1).split(",")]
    assert (*names, "workspace", "registry") == RESULT_COLUMNS


def test_the_results_page_is_what_the_code_writes():
    """Every column in its order with its type and the schema version; every format, extension and state."""
    page = (REPOSITORY / "docs" / "results.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", page[page.index("| column |") :], re.MULTILINE)
    assert [(name, kind) for name, kind, _ in rows] == [(name, type_of(name)) for name in RESULT_COLUMNS]
    assert all(unit.strip() for name, kind, unit in rows if kind == "number" or name in ("size", "uploaded_at"))
    assert f"Schema version {SCHEMA_VERSION}." in page
    formats = page[page.index("| format |") : page.index("A file is replaced")]
    assert re.findall(r"^\| `(\w+)` \|", formats, re.MULTILINE) == list(FORMATS)
    assert set(re.findall(r"`(\.\w+)`", formats)) == set(EXTENSIONS)
    assert all(f"`{state}`" in page for state in State)


def test_the_summary_keys_are_the_designs(design):
    """Scripts rely on names and order."""
    start = design.index("Summary object: ")
    keys = re.findall(r'"(\w+)"', design[start : design.index("`states` has all eight keys", start)])
    inner = {*RequestCounts.__struct_fields__, "cause", "count", "example"}
    designed = [key for key in keys if key not in inner or key == "requests"]
    # The second page adds why it ended so, last.
    assert [*designed, "error"] == list(RunSummary.__struct_fields__)
    assert RunError.__struct_fields__ == ("exit_code", "message", "problems")
    assert msgspec.json.encode(RequestCounts())


def test_the_flags_of_run_are_the_designs(design):
    """Every flag of the design's table exists under its name."""
    table = design[design.index("| flag of `run` |") : design.index("Every flag is also `BULKLOAD_<FLAG>`")]
    wanted = set(
        re.findall(r"--[a-z][a-z-]+", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )
    assert wanted <= flags_of("run") | {"--no-wait"}


def test_the_exit_codes_are_the_designs(design):
    """Each number with its meaning."""
    start = design.index("Exit codes, the first that applies:")
    text = design[start : design.index("All but 2, 4 and 11", start)]
    # The later page adds 9 (with its flag) and 141.
    codes = {int(code) for code in re.findall(r"(?:^|[·:/]\s*)(\d+)(?=[ /])", text)} | {143, 130, 141}
    assert codes == {int(code) for code in ExitCode} - {9}


def test_the_readme_has_every_exit_code():
    """And no other."""
    table = README[README.index("| exit code | meaning |") :]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == {int(code) for code in ExitCode}


SIZES = {"MiB": 1 << 20, "KiB": 1 << 10, "characters": 1, "s": 1}


def test_the_page_of_guarantees_names_every_bound_with_its_value():
    """A bound that nobody can look up is a surprise."""
    page = (REPOSITORY / "docs" / "guarantees.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| ([\d,]+)(?: (\w+))? \| `([A-Z_]+)` \|$", page, re.MULTILINE)
    written = {name: int(number.replace(",", "")) * SIZES.get(unit, 1) for number, unit, name in rows}
    assert written == {name: value for name, value in vars(bounds).items() if name.isupper()}
