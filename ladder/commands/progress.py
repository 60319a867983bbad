"""Show what is done on the ladder and on the five roadmaps, and what to do next.

  ladder progress                  the ladder, every roadmap as a bar, the next step
  ladder progress hardcore         one roadmap, section by section
  ladder progress --all            every box of every roadmap
  ladder progress --html --open    a page to look at, opened in the browser
  ladder progress --markdown       a checklist with [x], for notes or a README

A box is ticked when every check it needs has passed, every gate it needs is passed (`ladder gate`),
and, where it belongs to the journal, when an entry names it (`ladder journal`). Days that are not
built yet can never count.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ladder import gates, records
from ladder.curriculum import unknown
from ladder.curriculum_cache import load
from ladder.errors import ContentError, WorkError
from ladder.paths import work_dir
from ladder.progress import NextUp, Progress, RoadmapProgress, progress
from ladder.text import say

DEFAULT_PAGE = "progress.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("roadmaps", nargs="*", metavar="ROADMAP",
                        help="only these roadmaps (hardcore, plan180, halfyear, p7, newcomer)")
    parser.add_argument("--all", action="store_true", help="list every box, planned ones too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown with [x] and [ ]")
    form.add_argument("--html", nargs="?", const="", metavar="FILE",
                      help=f"write a self-contained page (default: {DEFAULT_PAGE} in your work folder)")
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows only ASCII shows ? and goes on
    found = gather()
    chosen = choose(found, args.roadmaps)
    if args.html is not None or args.open:
        return _page(found, chosen, args)
    if args.json:
        print(json.dumps(as_data(found, chosen), ensure_ascii=False, indent=1))
    elif args.markdown:
        from ladder.progress_text import markdown

        print(markdown(found, chosen, args.language), end="")
    else:
        from rich.console import Console

        from ladder.progress_screen import Screen

        Screen(Console(), args.language).draw(found, chosen, args.all, bool(args.roadmaps))
    return 0


def gather() -> Progress:
    """The learner's progress; says on stderr if some records could not be read."""
    curriculum, roadmaps = load()
    entries, unreadable = records.read()
    if unreadable:
        print(f"{records.records_path()}: {unreadable} line(s) could not be read and were passed over",
              file=sys.stderr)
    journal = [entry for entry in entries if "journal" in entry]
    passed = records.passed_checks(curriculum) | gates.passed_gates(curriculum)
    return progress(curriculum, roadmaps, passed, journal)


def choose(found: Progress, names: Sequence[str]) -> list[RoadmapProgress]:
    """The roadmaps with these ids, or all of them."""
    known = {roadmap.roadmap.id: roadmap for roadmap in found.roadmaps}
    for name in names:
        if name not in known:
            raise ContentError(unknown("roadmap", name, list(known)) + f" (there are {', '.join(known)})")
    return [known[name] for name in dict.fromkeys(names)] or list(found.roadmaps)


def _page(found: Progress, chosen: Sequence[RoadmapProgress], args: argparse.Namespace) -> int:
    from ladder.progress_page import page

    path = Path(args.html).expanduser() if args.html else work_dir() / DEFAULT_PAGE
    text = page(found, chosen, args.language)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkError(f"the page could not be written to {path} ({error.strerror}); "
                        "name another file: `ladder progress --html FILE`") from None
    print(path)
    if args.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            print(say("No browser could be opened; open the file above yourself.",
                      "没有打开浏览器，请自行打开上面的文件。").in_(args.language), file=sys.stderr)
    return 0


def as_data(found: Progress, chosen: Sequence[RoadmapProgress]) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "days": [
            {"id": d.day.id, "number": d.day.number, "place": d.place, "stage": d.stage.id,
             "title": d.day.title.model_dump(), "state": d.state, "built": d.day.built,
             "checks": d.checks, "passed": list(d.passed),
             "points": d.points, "points_total": d.points_total}
            for d in found.days
        ],
        "roadmaps": [
            {"id": r.roadmap.id, "title": r.roadmap.title.model_dump(),
             "ticked": r.ticked, "boxes": len(r.boxes), "next": _next(r.next),
             "sections": [
                 {"title": s.title._asdict(), "ticked": s.ticked,
                  "boxes": [{"id": b.box.id, "title": b.box.title.model_dump(), "state": b.state,
                             "ticked": b.ticked, "done": b.done, "total": b.total,
                             "missing": list(b.missing),
                             "journal": b.box.journal, "journal_missing": b.journal_missing}
                            for b in s.boxes]}
                 for s in r.sections]}
            for r in chosen
        ],
        "gates": [{"id": g.gate.id, "title": g.gate.title.model_dump(), "passed": g.passed,
                   "waits": list(g.waits)} for g in found.gates],
        "journal": [{"page": p.page.id, "entries": len(p.entries), "last": p.last} for p in found.pages],
        "next": _next(found.next),
    }


def _next(up: NextUp | None) -> dict[str, object] | None:
    if up is None:
        return None
    return {"day": up.day.id, "exercise": up.exercise.id, "checks": list(up.checks)}
