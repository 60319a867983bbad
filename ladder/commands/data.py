"""List the data sets with their licences, fetch them, say where their files are.

Exit code 0 if done, 1 if some set could not be fetched (fetch) or is not here (path).
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from typing import Any

from ladder.data import FIDELITIES, Entry, fetch, imitate, local, manifest, offline
from ladder.data.catalogue import entry
from ladder.data.store import cache_dir, data_dir
from ladder.errors import DataError
from ladder.text import Text, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    machine = "print JSON for another program"
    parser.add_argument("--json", action="store_true", help=machine)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    fetching = actions.add_parser(
        "fetch", help="download data sets, verified, also the large ones",
        description="Download what can be downloaded, verified by sha256. A broken download goes "
                    "on where it stopped; real data that is here already is not fetched again.")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a data set of `ladder data`")
    locating = actions.add_parser(
        "path", help="print the paths of a data set's files",
        description="Print the verified files of a data set that are here, downloading nothing.")
    locating.add_argument("name", metavar="NAME")
    locating.add_argument("--sample", action="store_true",
                          help="print the paths of our sample where the real data is not here")
    for action in (fetching, locating):
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=machine)


def run(args: argparse.Namespace) -> int:
    language = getattr(args, "language", "en")
    action = getattr(args, "action", None)
    if action == "fetch":
        return _fetch(args.names, language, args.json)
    if action == "path":
        return _path(args.name, language, args.json, args.sample)
    return _list(language, args.json)


def _list(language: str, as_json: bool) -> int:
    """Believes files of the right size: the list is quick, ``load`` verifies."""
    rows = [_row(data) for data in manifest().values()]
    if as_json:
        _print_json({"data": str(data_dir() or ""), "cache": str(cache_dir()),
                     "offline": offline(), "sets": rows})
        return 0
    heads = [say("name", "名称"), say("here", "本机"), say("size", "大小"), say("licence", "许可")]
    table = [[head.in_(language) for head in heads]]
    for row in rows:
        table.append([row["name"], HERE[row["here"]].in_(language), _size(row["bytes"]),
                      _short(row["licence"], 48)])
    widths = [max(_width(line[i]) for line in table) for i in range(4)]
    for line in table:
        print("  ".join(cell + " " * (width - _width(cell))
                        for cell, width in zip(line, widths, strict=True)).rstrip())
    print()
    print(say("here: full = all of it; subset = part of it; sample = not here, a lesson downloads it "
              "or makes do\nwith a sample of ours; - = not here, and nothing can stand in for it.",
              "本机：完整 = 全部数据；子集 = 部分真实数据；样本 = 本机没有，课程会下载它，"
              "否则使用我们生成的样本；\n- = 本机没有，也没有替代样本。").in_(language))
    print(say(f"LADDER_DATA: {data_dir() or 'not set'}   cache: {cache_dir()}"
              f"{'   offline' if offline() else ''}",
              f"LADDER_DATA：{data_dir() or '未设置'}   缓存：{cache_dir()}"
              f"{'   离线' if offline() else ''}").in_(language))
    return 0


HERE: dict[str, Text] = {"full": say("full", "完整"), "subset": say("subset", "子集"),
                         "sample": say("sample", "样本"), "none": say("-", "-")}


def _row(data: Entry) -> dict[str, Any]:
    wanted = [file for file in data.files.values() if not file.extra]
    found = local(data, data.files.values(), verify=False)
    here = "sample" if data.sample else "none"
    if all(file.key in found for file in wanted):
        here = min((found[file.key].accepted.fidelity for file in wanted), key=FIDELITIES.index)
    best = [next((item for item in file.accept if item.downloadable), file.accept[0])
            for file in wanted]
    sizes = [item.download_bytes for item in
             {(item.archive.name if item.archive else item.name): item for item in best}.values()]
    return {
        "name": data.name, "title": data.title._asdict(), "licence": data.licence,
        "home": data.home, "here": here,
        "bytes": sum(size for size in sizes if size) if all(sizes) else None,
        "files": {key: {"here": found[key].accepted.fidelity if key in found else None,
                        "path": str(found[key].path) if key in found else None,
                        "records": file.records, "extra": file.extra}
                  for key, file in data.files.items()},
    }


def _fetch(names: list[str], language: str, as_json: bool) -> int:
    for name in names:
        entry(name)  # a misspelt name is told before anything is downloaded
    results: dict[str, Any] = {}
    for name in names:
        try:
            data = fetch(name, progress=sys.stderr.isatty())
        except DataError as error:
            results[name] = {"error": str(error)}
            if not as_json:
                print(say(f"{name}: not fetched.", f"{name}：未能获取。").in_(language),
                      file=sys.stderr)
                print(error, file=sys.stderr)
            continue
        results[name] = {"fidelity": data.fidelity, "paths": _paths(data.paths)}
        if not as_json:
            print(data.notice(language))
    if as_json:
        _print_json(results)
    return 1 if any("error" in result for result in results.values()) else 0


def _path(name: str, language: str, as_json: bool, sample: bool) -> int:
    data = entry(name)
    found = local(data, data.files.values())
    paths = {key: match.path for key, match in found.items()}
    fidelity = min((match.accepted.fidelity for match in found.values()), key=FIDELITIES.index,
                   default="none")
    missing = [key for key, file in data.files.items() if key not in found and not file.extra]
    if missing and sample and data.sample:
        imitation = imitate(name)
        paths, fidelity, missing = dict(imitation.paths), "sample", []
        if not as_json:
            print(imitation.notice(language), file=sys.stderr)
    if as_json:
        _print_json({"name": name, "fidelity": fidelity, "paths": _paths(paths),
                     "missing": missing})
    else:
        for key, path in paths.items():
            print(f"{key}\t{path}")
        if missing:
            print(say(f"not here: {', '.join(missing)}. `ladder data fetch {name}` downloads "
                      "what can be downloaded.",
                      f"本机没有：{', '.join(missing)}。`ladder data fetch {name}` 下载可下载的文件。"
                      ).in_(language), file=sys.stderr)
    return 1 if missing else 0


def _paths(paths: Any) -> dict[str, str]:
    return {key: str(path) for key, path in paths.items()}


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _short(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1] + "…"


def _width(words: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)
