"""The journal: pages, boxes, entries, and that nothing typed is lost."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder import records
from ladder.cli import main
from ladder.commands import journal as command
from ladder.curriculum import load_curriculum, load_roadmaps
from ladder.errors import ContentError, LadderError, WorkError
from ladder.journal import (
    answers_of,
    boxes_of,
    check_boxes,
    local_time,
    markdown,
    new_entry,
    page_of,
    passed_since,
)
from ladder.records import Record
from ladder.text import say

CURRICULUM = load_curriculum()
ROADMAPS = load_roadmaps()
PAGES = {page.id: page for page in CURRICULUM.journal}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("LADDER_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    return tmp_path / "work"


def run(*words: str, language: str = "en") -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(words)
    args.language = language
    return command.run(args)


class Terminal(io.StringIO):
    """Standard input that a person types into."""

    def isatty(self) -> bool:
        return True


def saved_in(message: str) -> str:
    """The text in the file that an error message names."""
    path = re.search(r"saved in (\S+\.md)", message)
    assert path, message
    with open(path[1], encoding="utf-8") as file:
        return file.read()


# --- rules ----------------------------------------------------------------------------------------


def test_pages_are_found_by_name_or_start():
    assert page_of(CURRICULUM, "plan").id == "plan"
    assert page_of(CURRICULUM, "week").id == "weekly_review"
    with pytest.raises(ContentError, match="did you mean reading_log"):
        page_of(CURRICULUM, "readinglog")
    for name in ("", "p", "nothing like it"):
        with pytest.raises(ContentError, match="there are plan, weekly_review"):
            page_of(CURRICULUM, name)


def test_only_boxes_of_the_page_are_ticked():
    plan = PAGES["plan"]
    assert check_boxes(plan, ROADMAPS, ["plan180-5", "plan180-6", "plan180-5"]) == ["plan180-5", "plan180-6"]
    with pytest.raises(ContentError, match=r"no box 'plan180-5x'.*plan180-5\b"):
        check_boxes(plan, ROADMAPS, ["plan180-5x"])
    with pytest.raises(ContentError, match="`ladder journal acceptance --box plan180-4` ticks it"):
        check_boxes(plan, ROADMAPS, ["plan180-4"])
    with pytest.raises(ContentError, match="hardcore-9 is ticked by checks alone"):
        check_boxes(plan, ROADMAPS, ["hardcore-9"])


def test_every_box_that_names_a_page_is_listed_there():
    for page in PAGES.values():
        listed = [box.id for _, box in boxes_of(page, ROADMAPS)]
        assert listed == [b.id for r in ROADMAPS for b in r.boxes if page.id in b.journal]


def test_an_entry_needs_words_and_pairs_answers_with_prompts():
    review = PAGES["weekly_review"]
    assert new_entry(review, [], ["all in one"])["answers"] == ["all in one"]
    assert new_entry(review, ["b"], ["one", " two\n"]) == {
        "journal": "weekly_review", "boxes": ["b"], "answers": ["one", "two", ""]}
    for nothing in ([], [""], [" ", "\n"]):
        with pytest.raises(WorkError, match="nothing was written"):
            new_entry(review, ["b"], nothing)
    with pytest.raises(WorkError, match="4 answers were given"):
        new_entry(review, [], ["a", "b", "c", "d"])


def test_the_week_counts_checks_that_passed_for_the_first_time():
    def verdict(at, check, state="passed"):
        return Record(at, check, "v", state, 1.0)

    week = [verdict("2026-11-01", "day01_a.check_x"), verdict("2026-11-09", "day01_a.check_x"),
            verdict("2026-11-09", "day01_a.check_y"), verdict("2026-11-09", "day01_a.check_z", "failed"),
            verdict("2026-11-10", "day02_b.check_x"), verdict("2026-11-10", "day02_b.check_y")]
    assert passed_since(week, "2026-11-08") == {"day01_a": 1, "day02_b": 2}


@pytest.mark.parametrize(("answers", "expected"), [
    (["a", 1], ["a", "1"]), ("text", ["text"]), (None, []), ({"a": 1}, [])])
def test_entries_edited_by_hand_are_read_as_far_as_they_go(answers, expected):
    assert answers_of({"answers": answers}) == expected
    assert "# Journal" in markdown(list(PAGES.values()), [
        {"journal": "plan", "answers": answers, "boxes": answers, "at": "long ago"}], ROADMAPS, "en")


def test_the_export_puts_answers_under_their_prompts():
    entries = [{"at": "2026-11-20T10:00:00+00:00", "journal": "weekly_review", "boxes": ["plan180-5"],
                "answers": ["built it", "", "the rest"]},
               {"at": "2026-11-21T10:00:00+00:00", "journal": "weekly_review", "answers": ["free text"]}]
    text = markdown(list(PAGES.values()), entries, ROADMAPS, "en")
    prompts = [prompt.en for prompt in PAGES["weekly_review"].prompts]
    assert f"**{prompts[0]}**\n\nbuilt it\n\n**{prompts[2]}**\n\nthe rest\n" in text
    assert prompts[1] not in text and text.count("## Weekly review") == 1
    assert f"### {local_time(entries[1])}\n\nfree text\n" in text
    assert text.count("- [x] ") == 1 and "<!-- plan180-5 -->" in text
    assert "尚无记录" in markdown(list(PAGES.values()), [], ROADMAPS, "zh")


# --- writing --------------------------------------------------------------------------------------


def test_text_is_written_and_ticks_boxes(work, capsys):
    assert run("plan", "--box", "plan180-5", "--box", "halfyear-6", "--text", "from Monday") == 0
    (entry,) = records.journal_entries()
    assert (entry["journal"], entry["boxes"], entry["answers"]) == (
        "plan", ["plan180-5", "halfyear-6"], ["from Monday"])
    out = capsys.readouterr().out
    assert "[x] plan180-5" in out and "[x] halfyear-6" in out
    assert run("plan", "--list-boxes") == 0
    listed = capsys.readouterr().out
    assert re.search(r"\[x\] plan180-5\b", listed) and re.search(r"\[ \] plan180-6\b", listed)


def test_a_box_that_also_needs_checks_says_so(work, capsys):
    box = next(b for r in ROADMAPS for b in r.boxes if b.journal and b.needs)
    assert run(box.journal[0], "--box", box.id, "--text", "done") == 0
    out = capsys.readouterr().out
    assert f"[ ] {box.id}" in out and "still needs" in out


def test_standard_input_and_several_texts(work, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("read two papers\n\nboth good\n"))
    assert run("reading_log", "--text", "-") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("piped\n"))
    assert run("reading") == 0
    assert run("weekly_review", "--text", "a", "--text", "b") == 0
    assert [entry["answers"] for entry in records.journal_entries()] == [
        ["read two papers\n\nboth good"], ["piped"], ["a", "b", ""]]


def test_prompts_are_asked_in_order(work, monkeypatch, capsys):
    lines = "first\nsecond line\n\n\nthird\n"  # the middle one is left out, the end is Ctrl-D
    monkeypatch.setattr(sys, "stdin", Terminal(lines))
    assert run("weekly_review", language="zh") == 0
    (entry,) = records.journal_entries()
    assert entry["answers"] == ["first\nsecond line", "", "third"]
    out = capsys.readouterr().out
    assert all(prompt.zh in out for prompt in PAGES["weekly_review"].prompts)


def test_a_weekly_review_says_what_passed(work, monkeypatch, capsys):
    records.append({"check": f"{CURRICULUM.days[0].id}.check_x", "version": "v", "state": "passed",
                    "score": 1.0})
    monkeypatch.setattr(sys, "stdin", Terminal("good week\n\n"))
    assert run("weekly_review") == 0
    assert "Checks passed since then: Day 1: 1" in capsys.readouterr().out


# --- nothing typed is lost --------------------------------------------------------------------------

LONG = "An hour of thought,\nin two lines: 一小时。"


@pytest.mark.parametrize("words", [
    ("plam",), ("plan", "--box", "plan180-4"), ("plan", "--box", "no such"), ()])
def test_a_mistake_in_the_command_keeps_the_text(work, monkeypatch, words):
    monkeypatch.setattr(sys, "stdin", io.StringIO(LONG))
    with pytest.raises(LadderError) as error:
        run(*words, "--text", "-")
    assert saved_in(str(error.value)) == LONG
    assert records.journal_entries() == []


def test_a_full_disk_keeps_the_text_elsewhere(work, monkeypatch, tmp_path):
    work.parent.mkdir(exist_ok=True)
    work.write_text("a file where the folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", Terminal("typed by hand\n\nand more\n\n\n"))
    with pytest.raises(WorkError, match="could not be written") as error:
        run("weekly_review")
    assert saved_in(str(error.value)) == "typed by hand\n\nand more"


def test_an_interruption_keeps_what_was_typed(work, monkeypatch, capsys):
    lines = iter(["first", "", "half an ans"])

    def read(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(command.ask, "__defaults__", (read,))
    assert run("weekly_review") == 130
    assert saved_in(capsys.readouterr().err) == "first\n\nhalf an ans"
    assert records.journal_entries() == []


def test_bytes_that_are_no_text_are_kept_as_they_are(work, monkeypatch):
    data = b"good \xff\xfe bad"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(WorkError, match="not UTF-8 at byte 5") as error:
        run("plan")
    path = re.search(r"saved in (\S+\.md)", str(error.value))
    assert path and Path(path[1]).read_bytes() == data
    assert run("plan", "--text", os.fsdecode(data)) == 0  # an argument: marked, not refused
    assert "good" in records.journal_entries()[0]["answers"][0]


def test_the_named_command_writes_the_draft(work, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(LONG))
    with pytest.raises(ContentError) as error:
        run("plam")
    draft = saved_in(str(error.value))
    monkeypatch.setattr(sys, "stdin", io.StringIO(draft))
    assert run("plan", "--text", "-") == 0
    assert records.journal_entries()[0]["answers"] == [LONG]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_whatever_is_written_comes_back(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("journal") / "records.jsonl"
    try:
        entry = new_entry(PAGES["weekly_review"], [], texts)
    except WorkError:
        assert not any(text.strip() for text in texts)
        return
    records.append(entry, path)
    (back,) = records.journal_entries(path)
    assert {key: back[key] for key in entry} == entry
    text = markdown([PAGES["weekly_review"]], [back], ROADMAPS, "en")
    assert all(answer in text for answer in answers_of(back))


@given(st.lists(st.one_of(st.just(""), st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))))
def test_what_is_typed_is_kept_line_by_line(lines):
    waiting, answers = iter(lines), []

    def read(prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    command.ask([say("one?", "一？"), say("two?", "二？")], "en", answers, read)
    taken = [line for line in lines[: len(lines) - len(list(waiting))] if line.strip()]
    assert "\n".join(a for a in answers if a).split("\n") == (taken or [""])


# --- showing --------------------------------------------------------------------------------------


def test_overview_markdown_and_json(work, capsys):
    assert run() == 0
    empty = capsys.readouterr().out
    assert all(page in empty for page in PAGES) and empty.count("no entry yet") == len(PAGES)
    run("plan", "--box", "plan180-5", "--text", "from Monday")
    run("reading_log", "--text", "a paper")
    capsys.readouterr()
    assert run() == 0
    out = capsys.readouterr().out
    assert "1 entry, last" in out and "(today)" in out and "plan: from Monday [plan180-5]" in out
    assert run("plan", "--markdown") == 0
    text = capsys.readouterr().out
    assert "from Monday" in text and "a paper" not in text
    assert run("--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [page["id"] for page in data["pages"]] == list(PAGES)
    assert [entry["journal"] for entry in data["entries"]] == ["plan", "reading_log"]
    assert {"id": "plan180-5", "ticked": True} in data["pages"][0]["boxes"]
    with pytest.raises(WorkError, match="leave out"):
        run("plan", "--markdown", "--text", "x")


def test_through_the_command_line(work, capsys):
    assert main(["--lang", "zh", "journal", "plan", "--text", "周一开始"]) == 0
    assert "已写入日志" in capsys.readouterr().out
    assert main(["journal", "plam", "--text", "x"]) == 2
    assert "did you mean plan" in capsys.readouterr().err
