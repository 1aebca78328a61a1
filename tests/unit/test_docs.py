"""The documentation is held to the code: generated parts, examples, queries and links."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.stranger import Stranger

from liqsim.events import EVENT_CLASSES
from liqsim.events.schema import columns_of
from liqsim.runner import run_to_log
from liqsim.scenario import load_scenario
from liqsim.scenario.loader import scenario_from_toml
from liqsim.scenario.mitigations import MITIGATIONS
from replay.log import Log

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "scenarios/README.md",
    )
    if page.exists()
)
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND_SQL = re.compile(r'liqsim query [^"\n]*"([^"…]+)"')
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return [body for found, body in _FENCE.findall(text) if found == language]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def snippets(language):
    return [
        pytest.param(body, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, body in enumerate(blocks(page, language))
        if ">>>" not in body
    ]


def queries():
    return [
        pytest.param(sql, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, sql in enumerate(
            [*blocks(page, "sql"), *_COMMAND_SQL.findall(page.read_text(encoding="utf-8"))]
        )
    ]


def sql_blocks():
    return [
        pytest.param(body, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, body in enumerate(blocks(page, "sql"))
    ]


def shell_lines():
    """Return every command of the pages, and the words that it is meant to have."""
    return [
        pytest.param(line, words, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, line in enumerate(_commands(page))
        for words in [shlex.split(line, comments=True)[1:]]
    ]


def _commands(page):
    """Yield the lines with a command of ours: of shell blocks, and short ones in the text."""
    for body in blocks(page, "bash"):
        for line in body.replace("\\\n", " ").splitlines():
            yield from (part for part in line.split(" && ") if part.startswith("liqsim "))
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for code in re.findall(r"`([^`\n]+)`", text):
        if code.startswith("liqsim "):
            yield code
        elif code.startswith("--set "):
            yield f"liqsim run SCENARIO {code}"


def shell_words(line):
    """Return what bash makes of the arguments of a command; a pattern without a file fails."""
    script = f"shopt -s failglob\nliqsim() {{ printf '%s\\0' \"$@\"; }}\n{line}\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout.split("\0")[:-1]


def example():
    return blocks(ROOT / "docs/scenario-format.md", "toml")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the documents' example has been run."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs").mkdir()
    scenario = scenario_from_toml(example(), source="scenario-format.md")
    run_to_log(scenario, folder / "runs/minimal.duckdb")
    return folder


def test_generated_parts_are_fresh():
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["log-format.md", "scenario-format.md", "outcome.md"])
def test_no_meaning_is_cut_off(name):
    """A docstring's line that begins like an entry once ended the one before."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    generated = "".join(re.findall(r"<!-- generated: .*?<!-- end of ", text, re.DOTALL))
    rows = [line for line in generated.splitlines() if re.match(r"\| \[?`", line)]

    assert len(rows) > 50
    assert [row for row in rows if not row.endswith(". |")] == []


def test_the_minimal_example_is_what_it_says(folder):
    with Log(folder / "runs/minimal.duckdb") as log:
        outcome = log.outcome()
        assert log.verify() == []
    assert outcome["status"] == "sealed"
    assert outcome["accounts"] == 200
    assert outcome["liquidated_accounts"] > 20
    assert outcome["basis_fact"] == 1


def test_the_example_of_files_is_what_it_says(tmp_path):
    page = ROOT / "docs/scenario-format.md"
    _, toml = blocks(page, "toml")
    for name, text in zip(("eth.csv", "accounts.csv"), blocks(page, "csv"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(toml, encoding="utf-8")
    run_to_log(load_scenario(tmp_path / "mine.toml"), tmp_path / "mine.duckdb")

    with Log(tmp_path / "mine.duckdb") as log:
        assert log.verify() == []
        liquidated = log.sql("select distinct bucket from liquidations").fetchall()
        low = log.sql("select min(price) from reference_prices").fetchall()
    assert liquidated == [("0xA1f3",)]
    assert [f"{price:f}" for (price,) in low] == ["1741.75000000"]


@pytest.mark.parametrize("sql", queries())
def test_queries_run(folder, sql):
    with Log(folder / "runs/minimal.duckdb") as log:
        table = log.query(sql)
    assert table.num_columns > 0
    if "as drift" in sql:
        assert table.num_rows == 0  # The one query whose answer is that there is none.


@pytest.mark.parametrize("sql", sql_blocks())
def test_queries_can_be_pasted(folder, sql):
    """As the page says: between the double quotes of a command, comments and all."""
    given = shell_words(f'liqsim query LOG "{sql}"')
    assert given == ["query", "LOG", sql]

    answer = Stranger(folder).says("query", folder / "runs/minimal.duckdb", sql, "--json")

    assert (answer.exit_code, answer.stderr) == (0, "")
    assert isinstance(answer.json, list)


@pytest.mark.parametrize(("line", "words"), shell_lines())
def test_a_shell_passes_commands_on_as_they_are_meant(line, words):
    """No brace, bracket, backtick or dollar of ours is one to the shell."""
    assert shell_words(line) == words


def test_every_page_with_commands_has_its_lines_tested():
    assert len(shell_lines()) >= 40
    assert sum("--set" in line.values[0] for line in shell_lines()) >= 15


@pytest.mark.parametrize("source", snippets("python"))
def test_python_examples_run(folder, source, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(source, "example", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_worked_examples(page):
    """The sessions of a page are one, so that text can stand between its steps."""
    session = "".join(body for body in blocks(page, "python") if ">>>" in body)
    test = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page):
    broken = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page if not path else Path(os.path.normpath(page.parent / path))
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(page.read_text(encoding="utf-8"))
    }


def glossary():
    """Return (word, what it refers to) of every entry."""
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- \*\*(.+?)\*\*.*?(?:→ (.*))?$", text, re.MULTILINE)
    return [(word, re.findall(r"`([^`]+)`", places)) for word, places in entries]


def test_glossary_is_alphabetical():
    words = [word.lower() for word, _ in glossary()]
    assert len(words) > 50
    assert words == sorted(words)


def test_glossary_refers_to_what_is_there(folder):
    with Log(folder / "runs/minimal.duckdb") as log:
        columns = log.query(
            "select table_name || '.' || column_name as name from duckdb_columns() "
            "where not internal"
        )
        known = set(log.outcome()) | {owner.kind for owner in log.reader.owners} | {"keeper"}
    qualified = set(columns.column("name").to_pylist())
    known |= qualified | {part for name in qualified for part in name.split(".")}
    known |= {"[basis]"} | {name for members in enums() for name in members}
    keys = (ROOT / "docs/scenario-format.md").read_text(encoding="utf-8")
    for word, places in glossary():
        for place in places:
            stem = place.rpartition(".")[2].replace("…", "")
            is_key = f"`{stem}`" in keys or f".{stem}]`" in keys or f".{stem}.NAME]`" in keys
            is_family = place.endswith("_…") and any(name.startswith(stem) for name in known)
            assert place in known or is_key or is_family, f"{word}: {place}"


def enums():
    return [
        column.members
        for cls in EVENT_CLASSES
        for column in columns_of(cls)
        if column.members is not None
    ]


def test_every_shipped_scenario_is_explained():
    page = (ROOT / "scenarios/README.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "scenarios").glob("*.toml")):
        assert f"## {path.stem}\n" in page


def test_the_page_of_all_mitigations_has_a_row_of_every_kind():
    """Or says why it is left out."""
    text = (ROOT / "docs/mitigations/table.md").read_text(encoding="utf-8")
    tables = 0
    for section in text.split("\n## ")[1:]:
        there = set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"variant"}
        if there:
            tables += 1
            there |= set(re.findall(r"^Left out, (\w+):", section, re.MULTILINE))
            assert set(MITIGATIONS.values()) - there == set(), section.partition("\n")[0]
    assert tables


def test_shipped_scenarios_load():
    for path in sorted((ROOT / "scenarios").glob("*.toml")):
        assert load_scenario(path).name == path.stem
