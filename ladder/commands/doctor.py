"""Say what this machine can do: Python, PyTorch, Triton, GPU, memory, disk, data, JupyterLab.

Exit code 1 if something that the built days need is missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from typing import Any

from ladder.paths import work_dir
from ladder.text import Text, say

NEEDED = ("numpy", "torch", "matplotlib", "jupyterlab", "nbgrader", "jaxtyping")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for other programs")


def run(args: argparse.Namespace) -> int:
    rows = [_python(), *(_package(name, True) for name in NEEDED), _package("triton", False),
            _gpu(), _memory(), _disk(), _work(), _data()]
    if args.json:
        print(json.dumps([{"what": what, "state": state, "found": found.en}
                          for what, state, found in rows], indent=1))
    else:
        marks = {"ok": "✓", "missing": "✗", "absent": "–"}
        for what, state, found in rows:
            print(f"{marks[state]} {what:<12} {found.in_(args.language)}")
    return 1 if any(state == "missing" for _, state, _ in rows) else 0


Row = tuple[str, str, Text]


def _python() -> Row:
    good = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} ({sys.executable})"
    return "python", "ok" if good else "missing", say(
        found if good else f"{found}: Python 3.11 or later is needed",
        found if good else f"{found}：需要 Python 3.11 或更高版本")


def _package(name: str, needed: bool) -> Row:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if needed:
            return name, "missing", say("not installed; run `make setup`", "未安装；请运行 `make setup`")
        return name, "absent", say("not installed; only the kernel days need it",
                                   "未安装；只有 Triton 内核相关的课程日需要")
    return name, "ok", say(version, version)


def _gpu() -> Row:
    try:
        import torch
    except (ImportError, OSError) as error:
        return "gpu", "absent", say(f"PyTorch does not load: {error}", f"PyTorch 无法载入：{error}")
    if not torch.cuda.is_available():
        return "gpu", "absent", say(
            "none; every built day works without one, GPU verdicts stay «not checked»",
            "没有 GPU；所有已完成的课程日都不需要它，GPU 检查会标为「未检查」")
    name = torch.cuda.get_device_name(0)
    gigabytes = torch.cuda.get_device_properties(0).total_memory / 2**30
    return "gpu", "ok", say(f"{name}, {gigabytes:.0f} GiB", f"{name}，{gigabytes:.0f} GiB")


def _memory() -> Row:
    def total() -> float:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30

    return _amount("memory", total, 4, "GiB of memory", "GiB 内存")


def _disk() -> Row:
    def free() -> float:
        folder = work_dir()
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free / 2**30

    return _amount("disk", free, 2, "GiB free", "GiB 可用空间")


def _amount(what: str, measure: Callable[[], float], least: float, en: str, zh: str) -> Row:
    try:
        amount = measure()
    except (OSError, ValueError, AttributeError):
        return what, "absent", say("could not be measured here", "此系统上无法测量")
    state = "ok" if amount >= least else "missing"
    short = "" if state == "ok" else f" (< {least:g})"
    return what, state, say(f"{amount:.0f} {en}{short}", f"{amount:.0f} {zh}{short}")


def _work() -> Row:
    folder: Any = work_dir()
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if os.access(parent, os.W_OK):
        return "work", "ok", say(str(folder), str(folder))
    return "work", "missing", say(f"{folder} is not writable; set LADDER_WORK to a folder that is",
                                  f"{folder} 不可写；请把 LADDER_WORK 设为可写的文件夹")


def _data() -> Row:
    if folder := os.environ.get("LADDER_DATA"):
        if os.path.isdir(folder):
            return "data", "ok", say(f"LADDER_DATA={folder}", f"LADDER_DATA={folder}")
        return "data", "missing", say(f"LADDER_DATA={folder} does not exist",
                                      f"LADDER_DATA={folder} 不存在")
    return "data", "absent", say("downloaded when first needed (see `ladder data`)",
                                 "首次用到时下载（见 `ladder data`）")
