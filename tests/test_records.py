"""Records: only appended, by anyone at once, and read whatever else is in the file."""

import json
import multiprocessing
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladder import records
from ladder.curriculum import load_curriculum
from ladder.records import Record


@pytest.fixture
def path(monkeypatch, tmp_path):
    monkeypatch.setenv("LADDER_WORK", str(tmp_path))
    return records.records_path()


LINE = {"check": "d.check_a", "version": "1", "state": "passed", "score": 1.0}


def test_round_trip(path):
    assert records.read() == ([], 0)
    records.append({"check": "d.check_a", "version": "1", "state": "failed", "score": 0.5, "字": "好"})
    records.append(LINE | {"code": "abc"})
    entries, unreadable = records.read()
    assert unreadable == 0 and entries[0]["字"] == "好"
    first, second = records.verdicts()
    assert (first.state, second.state, second.code) == ("failed", "passed", "abc")
    assert first.at <= second.at and first.at.endswith("+00:00")
    assert path.parent.name == ".ladder"


@pytest.mark.parametrize("rubbish", [
    b"{", b"null", b"[]", b"5", b'"text"', b"{}", b'{"at": 5}', b"\xff\xfe", b"[" * 50_000, b'{"at": "2026'])
def test_lines_that_cannot_be_read_are_passed_over(path, rubbish):
    records.append(LINE)
    with path.open("ab") as file:
        file.write(rubbish)  # without a line's end, as when the disk was full
    records.append(LINE)
    records.append(LINE)
    entries, unreadable = records.read()
    assert len(entries) == 3 and unreadable == 1


@pytest.mark.parametrize("change", [
    {"check": 5}, {"check": None}, {"version": ["1"]}, {"state": {}}, {"score": "1"}, {"code": 5}])
def test_records_of_odd_types_are_none(path, change):
    records.append(LINE | change)
    assert records.verdicts() == []
    assert records.passed_checks(load_curriculum()) == set()


def test_further_keys_and_entries_are_no_verdicts(path):
    records.append({"hint": "d.ex"})
    records.append({"journal": "plan", "boxes": []})
    records.append(LINE | {"later": "key"})
    assert len(records.verdicts()) == 1 and len(records.journal_entries()) == 1


def test_passed_means_the_current_version(path, monkeypatch):
    day = load_curriculum().built_days[0]
    name = next(iter(day.checks))
    monkeypatch.setattr(records, "check_versions", lambda *a: {name: "new"})

    def passed(version, state):
        return records.passed_checks(load_curriculum(), [Record("t", f"{day.id}.{name}", version, state, 1.0)])

    assert passed("new", "passed") == {f"{day.id}.{name}"}
    assert passed("old", "passed") == passed("new", "failed") == passed("new", "not_checked") == set()


def _append_many(folder, who):
    os.environ["LADDER_WORK"] = folder
    for number in range(100):
        records.append({"who": who, "number": number, "long": "字" * 2000})


def test_several_processes_append_at_once(path, tmp_path):
    jobs = [multiprocessing.get_context("fork").Process(target=_append_many, args=(str(tmp_path), who))
            for who in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    entries, unreadable = records.read()
    assert unreadable == 0
    assert sorted((e["who"], e["number"]) for e in entries) == [(w, n) for w in range(4) for n in range(100)]


@given(st.lists(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])),
                                st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])))))
def test_whatever_is_appended_is_read(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("r") / "records.jsonl"
    for line in lines:
        records.append({k: v for k, v in line.items() if k != "at"}, path)
    entries, unreadable = records.read(path)
    assert unreadable == 0 and len(entries) == len(lines)


def test_a_full_disk_is_an_error_not_a_silent_half_line(path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: whole(handle, data[: len(data) // 2]))
    with pytest.raises(OSError, match="full"):
        records.append(LINE)
    monkeypatch.undo()
    os.environ["LADDER_WORK"] = str(path.parent.parent)
    try:
        records.append(LINE)
        assert len(records.verdicts()) == 1
    finally:
        del os.environ["LADDER_WORK"]


def test_reading_needs_no_numpy(tmp_path):
    code = "import sys, ladder.records; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    json.dumps(done.stdout)
