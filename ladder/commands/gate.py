"""Take a core-competency gate: a self-test with a time box, of fresh-seed checks and short questions.

  ladder gate                  the gates and where each stands
  ladder gate arch             start an attempt (or go on with the open one): a fresh notebook
  ladder gate arch --finish    run it in a fresh kernel, judge it, record the result
  ladder gate arch --give-up   end the attempt

The clock starts with the attempt and does not stop. A gate is passed when, in time, every check passes
and at least 80 % of the questions are right. A gate of which a part is not built yet can be taken for
practice and is not passed before it is whole. Exit code of --finish: 0 if the gate is passed, else 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ladder import gates
from ladder.curriculum import Curriculum
from ladder.curriculum_cache import load
from ladder.errors import WorkError
from ladder.gates import NEEDED, Attempt, GateStatus
from ladder.text import Text, say

if TYPE_CHECKING:
    from ladder.gate_run import PartResult, Result

STATES = {"passed": say("passed", "通过"), "failed": say("failed", "未通过"),
          "not_checked": say("not checked", "未检查"), "practice": say("practice", "练习")}
MARKS = {"passed": "✓", "failed": "✗", "not_checked": "–", "practice": "–"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gate", nargs="?", metavar="NAME", help="default: list the gates")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--finish", action="store_true", help="judge the open attempt")
    what.add_argument("--give-up", action="store_true", help="end the open attempt without a verdict")
    parser.add_argument("--timeout", type=int, default=600, metavar="SECONDS",
                        help="longest time for one cell when judging (default 600)")
    parser.add_argument("--json", action="store_true", help="for other programs")


def run(args: argparse.Namespace) -> int:
    curriculum, _ = load()
    if args.gate is None:
        if args.finish or args.give_up:
            raise WorkError("name the gate: `ladder gate NAME --finish`")
        return _list(curriculum, args)
    status = gates.gate_status(args.gate, curriculum)
    if args.give_up:
        return _give_up(status, args)
    return _finish(status, curriculum, args) if args.finish else _start(status, curriculum, args)


# ----------------------------------------------------------------------------------------- list


def _list(curriculum: Curriculum, args: argparse.Namespace) -> int:
    found = [gates.gate_status(gate.id, curriculum) for gate in curriculum.gates]
    if args.json:
        print(json.dumps([as_data(status, curriculum) for status in found], ensure_ascii=False, indent=1))
        return 0
    for status in found:
        print(f"{status.gate.id:<8}  {status.gate.title.text.in_(args.language)} · "
              + say(f"{status.gate.minutes} min · ", f"{status.gate.minutes} 分钟 · ").in_(args.language)
              + state_of(status).in_(args.language))
        for waiting in gates.told_waiting(status.gate, curriculum):
            print(f"            {waiting.in_(args.language)}")
    return 0


def state_of(status: GateStatus) -> Text:
    """Where a gate stands, in one line."""
    passed = say(f"passed on {status.passed_at[:10]}", f"已于 {status.passed_at[:10]} 通过")
    if (attempt := status.open) is not None:
        now = _open(attempt)
        return say(f"{passed.en}; {now.en}", f"{passed.zh}；{now.zh}") if status.passed else now
    if status.passed:
        return passed
    if (last := status.last) is None:
        return say("not taken", "还没有考过")
    end = last.end or {}
    state, day = str(end.get("state", "")), str(end.get("at", ""))[:10]
    if state == "passed":
        return say(f"passed on {day}, before the gate was revised; take it again",
                   f"曾于 {day} 通过，之后这一关有改动，请重考")
    words = STATES.get(state, say("given up", "放弃"))
    return say(f"not passed; attempt {last.number} on {day}: {words.en}",
               f"未通过；第 {last.number} 次（{day}）：{words.zh}")


def _open(attempt: Attempt) -> Text:
    left = attempt.minutes - attempt.minutes_used(gates.now())
    if left < 0:
        return say(f"attempt {attempt.number} is open and its time is over; finish it for practice",
                   f"第 {attempt.number} 次进行中，时间已到；提交只算练习")
    return say(f"attempt {attempt.number} is open, {left:.0f} minutes left",
               f"第 {attempt.number} 次进行中，还剩 {left:.0f} 分钟")


def as_data(status: GateStatus, curriculum: Curriculum) -> dict[str, Any]:
    days = {day.id: day for day in curriculum.days}
    attempt = status.open
    return {
        "gate": status.gate.id, "title": status.gate.title.model_dump(),
        "minutes": status.gate.minutes, "passed": status.passed, "passed_at": status.passed_at or None,
        "attempts": len(status.attempts), "open": attempt and _attempt_data(attempt),
        "parts": [{"part": part.id, "title": part.title.model_dump(), "needs": part.needs,
                   "waits": part.waits(days)} for part in status.gate.parts],
    }


def _attempt_data(attempt: Attempt) -> dict[str, Any]:
    return {"attempt": attempt.number, "notebook": str(attempt.path), "started": attempt.at,
            "deadline": attempt.deadline.isoformat(timespec="seconds"), "parts": list(attempt.parts),
            "minutes_left": round(attempt.minutes - attempt.minutes_used(gates.now()), 1)}


# ------------------------------------------------------------------------------ start and give up


def _start(status: GateStatus, curriculum: Curriculum, args: argparse.Namespace) -> int:
    gate = status.gate
    parts = gates.ready_parts(gate, curriculum)
    waiting = gates.told_waiting(gate, curriculum)
    if not parts and status.open is None:
        said = "\n  ".join(text.in_(args.language) for text in waiting)
        raise WorkError(say(f"no part of the gate {gate.id} can be taken yet:\n  {said}",
                            f"{gate.id} 关还没有可考的部分：\n  {said}").in_(args.language))
    if not gates.bank_path(gate).is_file():
        raise WorkError(f"the questions of the gate {gate.id} are not here ({gates.bank_path(gate)}); "
                        "they come with the whole workbook, not with a course")
    from ladder.gate_notebook import cannot_be_judged, notebook

    new = status.open is None
    if new and (why := cannot_be_judged(parts, curriculum)) is not None:
        raise WorkError(say(f"the gate {gate.id} cannot be taken on this machine: {why.en}",
                            f"在这台机器上无法考 {gate.id} 关：{why.zh}").in_(args.language))
    if new:  # what may fail on our side fails before the clock runs
        trial = Attempt(gate.id, 0, gates.now().isoformat(), "0", tuple(p.id for p in parts),
                        gate.minutes, args.language, "")
        notebook(gate, trial, curriculum)
    attempt = status.open or gates.begin(gate, parts, status, args.language)
    if not attempt.path.exists():
        from ladder.build import serialise
        from ladder.work import _write

        _write(attempt.path, serialise(notebook(gate, attempt, curriculum)))
    if args.json:
        print(json.dumps({"gate": gate.id, "new": new} | _attempt_data(attempt), ensure_ascii=False,
                         indent=1))
        return 0
    begun = gates.gate_status(gate.id, curriculum)
    print(f"{gate.title.text.in_(args.language)}  {state_of(begun).in_(args.language)}\n  {attempt.path}")
    for text in waiting:
        print(f"  {text.in_(args.language)}")
    if len(attempt.parts) < len(gate.parts):
        print("  " + say("This attempt is for practice.", "本次只算练习。").in_(args.language))
    print("  " + say(f"Open it in JupyterLab (`ladder start` serves {attempt.path.parent.parent}; folder gates). "
                     f"Then `ladder gate {gate.id} --finish`.",
                     f"在 JupyterLab 中打开（`ladder start` 打开 {attempt.path.parent.parent}，进入 gates 文件夹），"
                     f"写完后运行 `ladder gate {gate.id} --finish`。").in_(args.language))
    return 0


def _give_up(status: GateStatus, args: argparse.Namespace) -> int:
    if (attempt := status.open) is None:
        raise WorkError(f"no attempt at the gate {status.gate.id} is open, so there is nothing to give up")
    line = gates.end(attempt, "give_up", gates.now())
    if args.json:
        print(json.dumps(line, ensure_ascii=False, indent=1))
    else:
        print(say(f"Attempt {attempt.number} is given up; the notebook stays in {attempt.path}. The next "
                  "attempt draws other questions and numbers.",
                  f"已放弃第 {attempt.number} 次；笔记本保留在 {attempt.path}。下一次会另抽题目和数值。"
                  ).in_(args.language))
    return 0


# ---------------------------------------------------------------------------------------- finish


def _finish(status: GateStatus, curriculum: Curriculum, args: argparse.Namespace) -> int:
    if status.open is None:
        raise WorkError(f"no attempt at the gate {status.gate.id} is open; `ladder gate "
                        f"{status.gate.id}` starts one")
    from ladder.gate_run import finish

    if not args.json and status.open.path.exists():
        saved = datetime.datetime.fromtimestamp(status.open.path.stat().st_mtime).strftime("%H:%M:%S")
        print(say(f"{status.open.path}, as saved at {saved}", f"{status.open.path}，保存于 {saved}"
                  ).in_(args.language), flush=True)
    result = finish(status, curriculum, args.timeout)
    if args.json:
        print(json.dumps(result_data(result), ensure_ascii=False, indent=1))
    else:
        print("\n".join(told(result, status, args.language)))
    return 0 if result.state == "passed" else 1


def told(result: Result, status: GateStatus, language: str) -> Iterable[str]:
    """The result in lines: each part, each question with its explanation, the time, the verdict."""
    number = 0
    for part in result.parts:
        yield from _part(part, language)
        for answer in part.answered:
            number += 1
            mark = MARKS["passed" if answer.right else "failed"]
            tail = "" if answer.difference is None else f" ({answer.difference.in_(language)})"
            yield f"  {mark} q{number}{tail}  {answer.question.ask.in_(language)}"
            yield f"      → {answer.question.answer.in_(language)}"
            yield f"      {answer.question.why.in_(language)}"
    total = len(result.answered)
    if total:
        needed = -(-NEEDED * total // 100)
        yield say(f"Questions: {result.right} of {total} right, {needed} needed",
                  f"问答题：{total} 题答对 {result.right} 题，需答对 {needed} 题").in_(language)
    if not result.late:
        limit = result.attempt.minutes
        yield say(f"Time: {result.minutes:.0f} of {limit:g} minutes, kept",
                  f"用时：{result.minutes:.0f} 分钟，时限 {limit:g} 分钟，没有超时").in_(language)
    for reason in result.reasons:
        yield say(f"Practice only: {reason.en}", f"只算练习：{reason.zh}").in_(language)
    title = status.gate.title
    verdict = {
        "passed": say(f"✓ The {title.en} gate is passed.", f"✓ {title.zh}已通过。"),
        "failed": say(f"✗ The {title.en} gate is not passed yet.", f"✗ {title.zh}尚未通过。"),
        "practice": say(f"– The {title.en} gate is not passed: this was practice.",
                        f"– {title.zh}未通过：本次只算练习。"),
    }
    yield verdict[result.state].in_(language)


def _part(part: PartResult, language: str) -> Iterable[str]:
    from ladder import render

    reason = f": {part.reason.in_(language)}" if part.reason else ""
    yield (f"{MARKS[part.state]} {part.part.id.upper()} · {part.part.title.text.in_(language)} · "
           f"{STATES[part.state].in_(language)}{reason}")
    for check, verdict in part.verdicts:
        yield "  " + render.text(verdict, check, language).replace("\n", "\n  ")


def result_data(result: Result) -> dict[str, Any]:
    number = iter(range(1, len(result.answered) + 1))
    return {
        "gate": result.attempt.gate, "attempt": result.attempt.number, "state": result.state,
        "late": result.late, "minutes": round(result.minutes, 1), "limit": result.attempt.minutes,
        "reasons": [reason._asdict() for reason in result.reasons],
        "questions": {"right": result.right, "of": len(result.answered), "per_cent_needed": NEEDED},
        "parts": [{
            "part": part.part.id, "state": part.state, "reason": part.reason and part.reason._asdict(),
            "checks": [{"check": check.id, "state": verdict.state, "fraction": verdict.fraction,
                        "reason": verdict.reason and verdict.reason._asdict(),
                        "hint": verdict.hint and verdict.hint._asdict()}
                       for check, verdict in part.verdicts],
            "questions": [{"question": f"q{next(number)}", "id": answer.question.id,
                           "right": answer.right, "given": answer.given,
                           "answer": answer.question.answer._asdict(),
                           "why": answer.question.why._asdict()} for answer in part.answered],
        } for part in result.parts],
    }
