"""What students get: a README with two commands, the calendar, and a zip for any LMS."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ladder.build import SUFFIX
from ladder.cohort import calendar
from ladder.cohort.plan import Late, Plan
from ladder.cohort.wheel import archive, lock_file
from ladder.paths import PACKAGE
from ladder.text import LANGUAGES, Text, say

WEEKDAYS = (say("Mon", "周一"), say("Tue", "周二"), say("Wed", "周三"), say("Thu", "周四"),
            say("Fri", "周五"), say("Sat", "周六"), say("Sun", "周日"))
READMES = {"en": "README.md", "zh": "README.zh.md"}

README = Text(
    """# {heading}

Two commands, in this folder, in a terminal (Python 3.11 or later, Linux or macOS; best inside a virtual
environment: `python3 -m venv .venv && source .venv/bin/activate`):

```sh
python -m pip install {lock}./{wheel}
ladder start
```

The first sets everything up. The second opens the next day's notebook in JupyterLab; `ladder start 3` opens
Day 3. Your notebooks are in `work/`. Each check shows its verdict at once; `ladder hint 3 EXERCISE` helps.

{hand_in}

Days and times are in `calendar.html`, and in `calendar.ics` for your own calendar (time zone {zone}).{late}

On Linux without an NVIDIA card, add `--extra-index-url https://download.pytorch.org/whl/cpu` to the first command:
it saves several gigabytes. When you get a newer copy of this folder, run the first command again; your notebooks
stay as they are.
""",
    """# {heading}

在终端中进入本文件夹，运行两条命令（需要 Python 3.11 或更新版本，Linux 或 macOS；建议先建虚拟环境：
`python3 -m venv .venv && source .venv/bin/activate`）：

```sh
python -m pip install {lock}./{wheel}
ladder start
```

第一条安装所需的一切；第二条在 JupyterLab 中打开下一天的笔记本，`ladder start 3` 打开第 3 天。
你的笔记本在 `work/` 中。每个检查都会立即给出结果；`ladder hint 3 练习名` 给出提示。

{hand_in}

每天的时间见 `calendar.html`；`calendar.ics` 可导入你自己的日历（时区 {zone}）。{late}

在没有 NVIDIA 显卡的 Linux 上，请在第一条命令中加上 `--extra-index-url https://download.pytorch.org/whl/cpu`，
可以少下载几个 GB。收到新版文件夹后，再运行一次第一条命令即可；你的笔记本不会改变。
""")
HAND_IN = say("Hand in the notebook from `work/`, for example `work/{name}`, under its own name, before the due time.",
              "请在截止时间之前提交 `work/` 中的笔记本，例如 `work/{name}`，不要改文件名。")


def late_words(late: Late) -> Text | None:
    """The late policy in one sentence, or None if late work costs nothing."""
    if not late.per_day and late.closes_after is None:
        return None
    en, zh = [], []
    if late.per_day:
        most = late.at_most < 100
        en.append(f"late work loses {late.per_day:g} % of its score for each day begun"
                  + (f", at most {late.at_most:g} %" if most else ""))
        zh.append(f"迟交每天（不足一天按一天计）扣除所得分数的 {late.per_day:g}%"
                  + (f"，最多扣 {late.at_most:g}%" if most else ""))
    if late.closes_after is not None:
        en.append(f"nothing is taken later than {late.closes_after} days after the due time"
                  if late.closes_after else "nothing is taken after the due time")
        zh.append(f"截止后超过 {late.closes_after} 天不再计分" if late.closes_after else "截止后不再计分")
    if late.grace_minutes:
        en.append(f"the first {late.grace_minutes} minutes cost nothing")
        zh.append(f"最初 {late.grace_minutes} 分钟不扣分")
    sentence = "; ".join(en)
    return Text(sentence[0].upper() + sentence[1:] + ".", "；".join(zh) + "。")


def readme(plan: Plan, wheel: str, language: str) -> str:
    late = late_words(plan.cohort.late)
    space = "" if language == "zh" else " "
    first = plan.days[0].id + SUFFIX[plan.cohort.language]
    return README.in_(language).format(
        heading=plan.cohort.heading.in_(language), wheel=wheel, zone=plan.cohort.time_zone,
        lock="-r requirements.lock " if lock_file() else "",
        hand_in=HAND_IN.in_(language).format(name=first),
        late=space + late.in_(language) if late else "")


def calendar_page(plan: Plan) -> str:
    language = plan.cohort.language
    environment = Environment(loader=FileSystemLoader(PACKAGE / "templates"), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    late = late_words(plan.cohort.late)
    return environment.get_template("calendar.html").render(
        heading=plan.cohort.heading.in_(language), rows=calendar.rows(plan), language=language,
        zone=plan.cohort.time_zone, late=late.in_(language) if late else "", say=say,
        when=lambda moment: f"{WEEKDAYS[moment.weekday()].in_(language)} {moment:%Y-%m-%d %H:%M}")


def handout(plan: Plan, wheel: tuple[str, bytes], notebooks: Mapping[str, str],
            now: dt.datetime) -> dict[str, bytes]:
    """Every file of the handout, by name; notebooks lie where ``ladder start`` looks for them."""
    files = {READMES[language]: readme(plan, wheel[0], language).encode() for language in LANGUAGES}
    files["calendar.html"] = calendar_page(plan).encode()
    files["calendar.ics"] = calendar.ics(plan, now)
    if lock := lock_file():
        files["requirements.lock"] = lock.read_bytes()
    files[wheel[0]] = wheel[1]
    for slug, text in notebooks.items():
        files[f"work/{slug}{SUFFIX[plan.cohort.language]}"] = text.encode()
    return files


def write_handout(folder: Path, course: str, files: Mapping[str, bytes]) -> Path:
    """Write the files for the instructor to look at, and the zip that holds them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("llm_ladder-*.whl"):
        old.unlink()
    for name, data in files.items():
        if "/" not in name:
            (folder / name).write_bytes(data)
    target = folder / f"{course}.zip"
    target.write_bytes(archive({f"{course}/{name}": data for name, data in files.items()}))
    return target
