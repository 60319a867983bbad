"""Write the journal: plans, weekly reviews, the reading log, and the boxes that no check can tick.

  ladder journal                             the pages, and what was written last
  ladder journal weekly_review               answer the page's prompts here in the terminal
  ladder journal reading_log --text "..."    write without prompts; once for each prompt, or once for all
  ladder journal reading_log --text - < f    the same from a file or another program
  ladder journal plan --list-boxes           the roadmap boxes that this page can tick
  ladder journal plan --box plan180-5 ...    write an entry that ticks a box
  ladder journal --markdown                  export everything

Entries are only ever added. If something goes wrong, what you typed is saved to a file.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ladder import gates, records
from ladder.curriculum import Curriculum, JournalPage, Roadmap
from ladder.curriculum_cache import load
from ladder.errors import LadderError, WorkError
from ladder.journal import (
    answers_of,
    boxes_of,
    check_boxes,
    local_time,
    markdown,
    named_in,
    new_entry,
    page_of,
    passed_since,
)
from ladder.paths import state_dir
from ladder.progress import BoxProgress, progress
from ladder.text import Text, say

REVIEW = "weekly_review"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("page", nargs="?", metavar="PAGE", help="a page, such as weekly_review")
    parser.add_argument("--text", action="append", metavar="TEXT",
                        help="what to write, instead of being asked; - reads standard input")
    parser.add_argument("--box", action="append", default=[], metavar="ID", dest="boxes",
                        help="tick this box of the page (repeatable)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--list-boxes", action="store_true", help="list the boxes the page can tick")
    form.add_argument("--markdown", action="store_true", help="print the entries as Markdown")
    form.add_argument("--json", action="store_true", help="print pages and entries as JSON")


def run(args: argparse.Namespace) -> int:
    curriculum, roadmaps = load()
    if args.list_boxes or args.markdown or args.json:
        return _show(args, curriculum, roadmaps)
    if args.page is None and not args.text and not args.boxes:
        return _overview(curriculum, args.language)
    return _write(args, curriculum, roadmaps)


# --- writing ----------------------------------------------------------------------------------


def _write(args: argparse.Namespace, curriculum: Curriculum, roadmaps: Sequence[Roadmap]) -> int:
    typed: list[str] = []
    try:
        asked = args.text is None and sys.stdin is not None and sys.stdin.isatty()
        if not asked:
            for text in args.text or ["-"]:
                typed.append(_standard_input(args.page) if text == "-" else _clean(text))
        if args.page is None:
            raise WorkError("name the page to write on: `ladder journal PAGE`; the pages are "
                            + ", ".join(page.id for page in curriculum.journal))
        page = page_of(curriculum, args.page)
        boxes = check_boxes(page, roadmaps, args.boxes)
        if asked:
            _greet(page, curriculum, args.language)
            ask([prompt.text for prompt in page.prompts], args.language, typed)
        entry = new_entry(page, boxes, typed)
        try:
            records.append(entry)
        except OSError as error:
            raise WorkError(f"{records.records_path()} could not be written "
                            f"({error.strerror or error})") from None
    except LadderError as error:
        raise type(error)(f"{error}{_kept(typed, args)}") from None
    except KeyboardInterrupt:
        print("\n" + say("Stopped; no entry was made.", "已中断，没有写入日志。").in_(args.language)
              + _kept(typed, args), file=sys.stderr)
        return 130
    _confirm(page, boxes, curriculum, roadmaps, args.language)
    return 0


def _standard_input(page: str | None) -> str:
    if sys.stdin is None:
        return ""
    if not hasattr(sys.stdin, "buffer"):
        return sys.stdin.read()
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        path = save_draft(data, page)
        raise WorkError(f"the text is not UTF-8 at byte {error.start}; it is saved in {path}: "
                        "save it as UTF-8 and try again") from None


def _clean(text: str) -> str:
    """Bytes of the command line that are no UTF-8 become a visible mark, not a crash."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def ask(prompts: Sequence[Text], language: str, answers: list[str],
        read: Callable[[str], str] = input) -> None:
    """Ask every prompt and add the answers; each ends with an empty line, the whole with Ctrl-D.

    ``answers`` holds everything typed so far, also when this is interrupted.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (arrow keys while typing)
    print(say("An empty line ends an answer; Ctrl-D ends the entry.",
              "空行结束一个回答，Ctrl-D 结束整篇。").in_(language))
    for number, prompt in enumerate(prompts, 1):
        print(f"\n{number}/{len(prompts)}  {prompt.in_(language)}")
        answers.append("")
        while True:
            try:
                line = _clean(read("> "))
            except EOFError:
                print()
                return
            if not line.strip():
                break
            answers[-1] = f"{answers[-1]}\n{line}".strip("\n")


def _greet(page: JournalPage, curriculum: Curriculum, language: str) -> None:
    entries = [entry for entry in records.journal_entries() if entry["journal"] == page.id]
    print(page.title.text.in_(language))
    last = str(entries[-1]["at"]) if entries else ""
    if last:
        day = local_time(entries[-1])
        print(say(f"Last entry: {_when(day, 'en')}", f"上一篇：{_when(day, 'zh')}").in_(language))
    if page.id == REVIEW:
        now = datetime.datetime.now(datetime.UTC)
        since = last or (now - datetime.timedelta(days=7)).isoformat(timespec="seconds")
        days = passed_since(records.verdicts(), since)
        known = {day.id: day.number for day in curriculum.days}
        parts = [f"Day {known[slug]}: {count}" for slug, count in days.items() if slug in known]
        print(say(f"Checks passed since then: {', '.join(parts) or 'none'}",
                  f"此后通过的检查：{'，'.join(parts) or '无'}").in_(language))


def _confirm(page: JournalPage, boxes: Sequence[str], curriculum: Curriculum,
             roadmaps: Sequence[Roadmap], language: str) -> None:
    print(say(f"Written to the journal: {page.title.en}", f"已写入日志：{page.title.zh}").in_(language))
    if not boxes:
        return
    from ladder.progress_text import still_missing

    passed = records.passed_checks(curriculum) | gates.passed_gates(curriculum)
    found = progress(curriculum, roadmaps, passed, records.journal_entries())
    for box in (box for roadmap in found.roadmaps for box in roadmap.boxes if box.box.id in boxes):
        if box.ticked:
            print(f"  [x] {box.box.id}  {box.box.title.text.in_(language)}")
        else:
            waits = still_missing(box, found.days, language)
            print(f"  [ ] {box.box.id}  {box.box.title.text.in_(language)}\n      "
                  + say(f"noted; still needs {waits}", f"已记下；还需要：{waits}").in_(language))


def _kept(typed: Sequence[str], args: argparse.Namespace) -> str:
    """Save what was typed; the end of a message that says where."""
    text = "\n\n".join(answer for answer in typed if answer.strip())
    if not text:
        return ""
    path = save_draft(text.encode(errors="replace"), args.page)
    again = f"ladder journal PAGE --text - < {shlex.quote(str(path))}"
    return say(f"\nWhat you wrote is saved in {path}\n(`{again}` writes it)",
               f"\n你写的内容已保存到 {path}\n（用 `{again}` 写入日志）").in_(args.language)


def save_draft(data: bytes, page: str | None) -> Path:
    """Keep typed text in the learner's folder, or in the temporary folder if that cannot be written."""
    name = "".join(c for c in page or "page" if c.isalnum() or c in "_-") or "page"
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    path = state_dir() / "drafts" / f"journal-{name}-{stamp}.md"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError:
        with tempfile.NamedTemporaryFile(prefix=f"journal-{name}-", suffix=".md", delete=False) as file:
            file.write(data)
        path = Path(file.name)
    return path


# --- showing ----------------------------------------------------------------------------------


def _overview(curriculum: Curriculum, language: str) -> int:
    entries = records.journal_entries()
    width = max(len(page.id) for page in curriculum.journal)
    for page in curriculum.journal:
        mine = [entry for entry in entries if entry["journal"] == page.id]
        state = say("no entry yet", "尚无记录").in_(language)
        if mine:
            last = local_time(mine[-1])
            state = say(f"{len(mine)} entr{'ies' if len(mine) > 1 else 'y'}, last {_when(last, 'en')}",
                        f"{len(mine)} 篇，最近：{_when(last, 'zh')}").in_(language)
        print(f"{page.id:<{width}}  {page.title.text.in_(language)} ({state})")
    if entries:
        print("\n" + say("Last entries", "最近的记录").in_(language))
        for entry in entries[-5:]:
            words = " / ".join(" ".join(a.split()) for a in answers_of(entry) if a.strip())
            ticks = "".join(f" [{box}]" for box in named_in(entry))
            print(f"  {local_time(entry)[:10]}  {entry['journal']}: {_short(words)}{ticks}")
    print("\n" + say("`ladder journal PAGE` writes; `--list-boxes` shows what a page can tick.",
                     "`ladder journal 页面` 写日志；`--list-boxes` 列出该页能完成的条目。").in_(language))
    return 0


def _short(words: str, limit: int = 72) -> str:
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def _when(at: str, language: str) -> str:
    """``2026-11-20 (3 days ago)``; the date alone if it is not one."""
    try:
        then = datetime.date.fromisoformat(at[:10])
    except ValueError:
        return at
    days = (datetime.date.today() - then).days
    if days <= 0:
        ago = say("today", "今天")
    else:
        ago = say(f"{days} day{'s' * (days != 1)} ago", f"{days} 天前")
    return say(f"{then} ({ago.en})", f"{then}（{ago.zh}）").in_(language)


def _show(args: argparse.Namespace, curriculum: Curriculum, roadmaps: Sequence[Roadmap]) -> int:
    if args.text or args.boxes:
        raise WorkError("--text and --box write an entry; leave out --list-boxes, --markdown and --json")
    pages = [page_of(curriculum, args.page)] if args.page else list(curriculum.journal)
    entries = records.journal_entries()
    if args.markdown:
        print(markdown(pages, entries, roadmaps, args.language), end="")
        return 0
    found = progress(curriculum, roadmaps, records.passed_checks(curriculum), entries)
    states = {box.box.id: box for roadmap in found.roadmaps for box in roadmap.boxes}
    if args.json:
        ids = {page.id for page in pages}
        data = {"pages": [_page_data(page, roadmaps, states) for page in pages],
                "entries": [entry for entry in entries if entry["journal"] in ids]}
        print(json.dumps(data, ensure_ascii=False, indent=1))
        return 0
    from ladder.progress_text import still_missing

    for page in pages:
        print(f"{page.id}: {page.title.text.in_(args.language)}")
        for _, box in boxes_of(page, roadmaps):
            state = states[box.id]
            words = "" if state.ticked else still_missing(state, found.days, args.language)
            print(f"  [{'x' if state.ticked else ' '}] {box.id:<13} {box.title.text.in_(args.language)}"
                  + (f"  ({words})" if words else ""))
    return 0


def _page_data(page: JournalPage, roadmaps: Sequence[Roadmap],
               states: dict[str, BoxProgress]) -> dict[str, Any]:
    return {"id": page.id, "title": page.title.model_dump(),
            "prompts": [prompt.model_dump() for prompt in page.prompts],
            "boxes": [{"id": box.id, "ticked": states[box.id].ticked}
                      for _, box in boxes_of(page, roadmaps)]}
