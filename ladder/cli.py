"""The command line: parses, calls one file of ``ladder.commands``, prints errors, sets exit codes.

Exit codes: 0 as asked, 1 the answer is no (a check failed, a notebook is stale), 2 the request or
its surroundings are wrong (the message says what to do), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from ladder import __version__
from ladder.errors import LadderError
from ladder.paths import work_dir
from ladder.text import LANGUAGES, Text, say

COMMANDS: dict[str, dict[str, Text]] = {
    "learner": {
        "start": say("open a day's notebook in JupyterLab", "在 JupyterLab 中打开某一天的笔记本"),
        "check": say("run a day's notebook afresh and show its verdicts", "重新运行某一天的笔记本并显示结果"),
        "watch": say("check a notebook each time it is saved", "每次保存后自动检查"),
        "progress": say("show what is done on the five roadmaps", "显示五条路线图的进度"),
        "hint": say("show the next hint of an exercise", "显示某道练习的下一条提示"),
        "solution": say("show the reference solution of an exercise", "显示某道练习的参考解答"),
        "reset": say("start an exercise or a day anew (keeps a backup)", "重新开始某道练习或某一天（保留备份）"),
        "list": say("list the days", "列出所有课程日"),
        "data": say("list and fetch data sets", "列出并下载数据集"),
        "doctor": say("say what this machine can do", "检查这台机器能做什么"),
        "gate": say("take a self-test with a time box", "参加限时的闯关自测"),
        "kernel": say("judge a Triton kernel, without a GPU too", "评判 Triton kernel（没有 GPU 也可以）"),
        "journal": say("write the journal: reviews, reading log", "写日志：复盘、阅读记录"),
    },
    "instructor": {
        "publish": say("make an nbgrader course of chosen days", "用选定的课程日生成 nbgrader 课程"),
        "collect": say("fetch submissions from an exchange or an LMS's export", "从 exchange 或教学平台导出中收取提交"),
        "intake": say("repair submissions before they are graded", "评分前修复提交"),
        "report": say("one page about a course: who needs what", "生成课程报告页：谁需要什么"),
        "export": say("write grades for Canvas, Moodle, or as CSV", "导出成绩：Canvas、Moodle 或 CSV"),
        "similar": say("list submissions that are suspiciously alike", "列出相似得可疑的提交"),
        "grade": say("grade submissions, several at once, in a sandbox", "在沙箱中并行评分学生提交"),
    },
    "author": {
        "new": say("begin a new day", "新建一个课程日"),
        "build": say("build notebooks from their sources", "由源文件构建笔记本"),
        "verify": say("prove that references pass and wrong answers fail", "验证参考解答通过、错误解答不通过"),
    },
}
WHO = {
    "learner": say("for learners", "学习者"),
    "instructor": say("for instructors", "教师"),
    "author": say("for authors", "作者"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show ✓ is no reason to stop
            stream.reconfigure(errors="replace")
    parser = _parser(_wanted(arguments))
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 0
    module = importlib.import_module(f"ladder.commands.{args.command.replace('-', '_')}")
    try:
        return module.run(args)
    except LadderError as error:
        print(f"ladder {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise  # no file of the learner's: a fault of ours, with its traceback
        print(f"ladder {args.command}: {error.filename}: {error.strerror}; is there room, and may you "
              f"write in {work_dir()}?", file=sys.stderr)
        return 2


def _wanted(arguments: Sequence[str]) -> str | None:
    """The command named, so that only its module is imported."""
    known = {name for group in COMMANDS.values() for name in group}
    words = iter(arguments)
    for word in words:
        if word == "--lang":
            next(words, None)
        elif not word.startswith("-"):
            return word if word in known else None
    return None


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    language = default_language()
    groups = []
    for group, commands in COMMANDS.items():
        groups.append(f"{WHO[group].in_(language)}:")
        groups += [f"  {name:<10} {text.in_(language)}" for name, text in commands.items()]
    parser = argparse.ArgumentParser(
        prog="ladder", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="LLM Ladder\n\n" + "\n".join(groups),
        epilog=say("`ladder COMMAND --help` explains one command.",
                   "`ladder 命令 --help` 查看某个命令的说明。").in_(language),
    )
    parser.add_argument("--version", action="version", version=f"llm-ladder {__version__}")
    parser.add_argument("--lang", dest="language", choices=LANGUAGES, default=language,
                        help="language of messages (default: LADDER_LANG, else the system's)")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for commands in COMMANDS.values():
        for name, text in commands.items():
            if wanted is not None and name != wanted:
                continue
            sub = subparsers.add_parser(name, help=argparse.SUPPRESS,
                                        description=text.in_(language),
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
            if name == wanted:
                module = importlib.import_module(f"ladder.commands.{name.replace('-', '_')}")
                sub.add_argument("--lang", dest="language", choices=LANGUAGES,
                                 default=argparse.SUPPRESS, help="language of messages")
                sub.description = (module.__doc__ or text.in_(language)).strip()
                module.add_arguments(sub)
    return parser


def default_language() -> str:
    """``LADDER_LANG``, else Chinese where the system speaks it, else English."""
    chosen = os.environ.get("LADDER_LANG", "")
    if chosen in LANGUAGES:
        return chosen
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"
