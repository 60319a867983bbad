"""Collecting from ngshare on a real JupyterHub: hub, proxy and service, each user with its own token.

`tests/get_hub.sh` (make hub) puts them into the virtual environment; without them this is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from broken import DAY, solved

HUB = Path(sys.prefix) / "hub"
NGSHARE = "ngshare_exchange.configureExchange(get_config(), ngshare_url={!r})"
pytestmark = [
    pytest.mark.slow, pytest.mark.xdist_group("ngshare"),
    pytest.mark.skipif(not (HUB / ".installed").exists(), reason=(
        "no JupyterHub with ngshare here (make hub): collecting from ngshare was not checked")),
]
SECRET = "token-of-the-test"
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{inner}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.ConfigurableHTTPProxy.command = [{command!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.allowed_users = {{"teacher", "ada", "eve"}}
c.JupyterHub.services = [
    {{"name": "ngshare", "url": "http://127.0.0.1:{service}", "oauth_no_confirm": True, "command": [
        {python!r}, "-m", "ngshare", "--admins", "teacher", "--database", "sqlite:///{folder}/ngshare.db",
        "--storage", "{folder}/files"]}},
    {{"name": "test", "api_token": {secret!r}}},
]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": ["admin:users", "tokens"]}}]
"""


def ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return found


def ask(url: str, token: str, form: dict[str, str] | None = None) -> Any:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, {"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


@dataclass
class Hub:
    base: str
    log: Path
    running: subprocess.Popen[bytes]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def ngshare(self) -> str:
        return f"{self.base}/services/ngshare"

    def wait(self) -> None:
        """Until hub, proxy and ngshare answer; gives everyone a token."""
        deadline = time.time() + 90
        while True:
            try:
                self.tokens = {name: ask(f"{self.base}/hub/api/users/{name}/tokens", SECRET, {})["token"]
                               for name in ("teacher", "ada", "eve")}
                ask(f"{self.ngshare}/courses", self.tokens["teacher"])
                return
            except (OSError, ValueError):
                assert self.running.poll() is None and time.time() < deadline, self.log.read_text()[-3000:]
                time.sleep(0.3)

    def env(self, user: str, env: dict[str, str], data: Path) -> dict[str, str]:
        path = os.pathsep.join((env["PYTHONPATH"], str(HUB / "client")))
        return env | {"JUPYTERHUB_USER": user, "JUPYTERHUB_API_TOKEN": self.tokens[user],
                      "PYTHONPATH": path, "JUPYTER_DATA_DIR": str(data / user)}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "hub"
    folder.mkdir()
    front, inner, proxy, service = ports(4)
    python = HUB / "py" / "bin" / "python"
    (folder / "config.py").write_text(CONFIG.format(
        hub=front, inner=inner, proxy=proxy, service=service, python=str(python), folder=folder, secret=SECRET,
        command=str(HUB / "node_modules" / ".bin" / "configurable-http-proxy")))
    log = folder / "hub.log"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PATH"] = f"{python.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    with log.open("w") as out:
        running = subprocess.Popen([python, "-m", "jupyterhub", "-f", "config.py"], cwd=folder, env=env,
                                   stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Hub(f"http://127.0.0.1:{front}", log, running)
    finally:
        running.terminate()  # takes its proxy and ngshare with it
        running.wait(30)


def test_collect_from_ngshare(hub: Hub, tmp_path: Path) -> None:
    env = tiny.install(tmp_path / "site")
    answer = tiny.run(["ladder", "publish", "course", "--days", "2"], tmp_path, env)
    assert answer.returncode == 0, answer.stderr
    hub.wait()
    course = tmp_path / "course"
    config = course / "nbgrader_config.py"
    config.write_text("import ngshare_exchange\n" + config.read_text() + "\n" + NGSHARE.format(hub.ngshare) + "\n")
    teacher = hub.env("teacher", env, tmp_path)
    ask(f"{hub.ngshare}/course/course", hub.tokens["teacher"], {"instructors": '["teacher"]'})
    for name in ("ada", "eve"):
        ask(f"{hub.ngshare}/student/course/{name}", hub.tokens["teacher"],
            {"first_name": name.title(), "last_name": "", "email": ""})
    answer = tiny.run(["nbgrader", "release_assignment", DAY], course, teacher)
    assert "Successfully released" in answer.stderr, answer.stderr
    release = json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text())
    for name in ("ada", "eve"):
        mine = tmp_path / f"home-{name}"
        mine.mkdir()
        shutil.copy(config, mine)
        theirs = hub.env(name, env, tmp_path)
        if name == "ada":
            answer = tiny.run(["nbgrader", "fetch_assignment", DAY], mine, theirs)
            assert answer.returncode == 0 and (mine / DAY / f"{DAY}.ipynb").is_file(), answer.stderr
        (mine / DAY).mkdir(exist_ok=True)
        text = json.dumps(solved(release))
        (mine / DAY / f"{DAY}.ipynb").write_text(text if name == "ada" else text[:len(text) * 3 // 4])
        answer = tiny.run(["nbgrader", "submit", DAY], mine, theirs)
        assert answer.returncode == 0, answer.stderr
    with pytest.raises(urllib.error.HTTPError):  # a student may not read another's
        ask(f"{hub.ngshare}/submission/course/{DAY}/ada", hub.tokens["eve"])
    answer = tiny.run(["ladder", "--lang", "en", "collect", DAY, "--from", "ngshare"], course, teacher)
    assert answer.returncode == 0, answer.stderr
    assert "collected 2 submissions, 0 were here already" in answer.stdout
    assert "+ eve: its JSON was damaged or cut short" in answer.stdout
    held = course / "submitted" / "ada" / DAY
    assert json.loads((held / f"{DAY}.ipynb").read_text()) == solved(release)
    assert (held / "timestamp.txt").read_text().startswith("20")
    answer = tiny.run(["ladder", "--lang", "en", "collect", DAY, "--from", "ngshare"], course, teacher)
    assert "collected 0 submissions, 2 were here already" in answer.stdout
