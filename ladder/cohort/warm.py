"""The warm process: imports once what notebooks import, then forks a confined child a submission.

    python -P -m ladder.cohort.warm FD     (started by ``ladder.cohort.warmed``, talks over socket FD)

It runs code of ours only. A message names nothing but a number and brings two descriptors: the job
to read and the pipe to write to. A child reads its job after the fork, so that no submission is
ever in the memory that the next one inherits.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ladder.cohort import guard, sandbox
from ladder.cohort.jobs import Job
from ladder.cohort.view import HOME, View, view_of, without_mistakes

# Loaded late by what notebooks use: what solved days had in sys.modules at their end and not before.
LATE = {
    "": ("asyncio", "jaxtyping", "unittest.mock", "email.parser", "http.client", "mmap",
         "concurrent.futures.thread", "multiprocessing.connection", "multiprocessing.synchronize"),
    "torch": ("torch.nn.functional", "torch.optim", "torch.utils.data"),
    "matplotlib": ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "contourpy"),
    "numpy": ("numpy.random", "numpy.linalg", "numpy.testing"),
}


def main() -> None:
    gc.disable()  # nothing that is imported here is garbage
    channel = socket.socket(fileno=int(sys.argv[1]))
    hello, _, _, _ = channel.recvmsg(2**20)
    plan = json.loads(hello)
    isolation, why = enclose(plan["sandbox"])
    if isolation == "none" and plan["sandbox"] == "required":
        channel.sendall(json.dumps({"isolation": isolation, "why": why}).encode())
        return
    from ladder.cohort.shell import make_shell

    guard.install(plan["references"])
    sys.meta_path.insert(0, Graders())
    preload(plan)
    shell = make_shell()
    view = view_of(plan["stage"], plan["day"], plan["references"], plan["gpu"])
    os.environ.pop("PYTHONPATH", None)
    gc.collect()
    gc.freeze()
    gc.enable()
    channel.sendall(json.dumps({"isolation": isolation, "why": why}).encode())
    serve(channel, isolation, view, shell)
    atexit._run_exitfuncs()
    os._exit(0)  # torch would take its time over the rest


def enclose(wanted: str) -> tuple[str, str]:
    """Go where children can be confined: ("root" or "user" or "none", why not)."""
    if wanted == "off":
        return "none", "switched off by c.JudgeExecute.sandbox"
    if not sys.platform.startswith("linux") or os.uname().machine not in sandbox.SYS_PIVOT_ROOT:
        return "none", f"{sys.platform} has no namespaces that this program could use"
    uid, gid = os.geteuid(), os.getegid()
    isolation, problem = "none", ""
    for kind, flags in (("root", 0), ("user", sandbox.NEWUSER)):
        if kind == "root" and (uid != 0 or not _may_mount()):
            continue
        try:
            sandbox.unshare(flags | sandbox.NEWPID)
            if flags:
                sandbox.map_ids(uid, gid, uid, gid)
            isolation = kind
            break
        except OSError as error:
            problem = f"{error.strerror or error}"
    if isolation == "none":
        return "none", f"this system does not let a program make namespaces ({problem})"
    pid = os.fork()  # the child is the first of a process tree that ends with it
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
    return isolation, ""


def _may_mount() -> bool:
    """Whether this root may mount; tried in a child, since it cannot be taken back."""
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.unshare(sandbox.NEWNS)
            sandbox.mount("none", "/", None, sandbox.REC | sandbox.PRIVATE)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def preload(plan: dict[str, Any]) -> None:
    names = ["ladder.notebook", "ladder.emission", "ladder.earlier", "ladder.carry", "ladder.data",
             "ladder.training", "ladder.readers", "ladder.forbids", "IPython.display"]
    for name in ("", *plan["preload"]):
        names += [*([name] if name else []), *LATE.get(name, ())]
    if plan["day"]:
        names.append(f"ladder.graders.{plan['stage']}.{plan['day']}")
    names += plan["solutions"]
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if plan["day"]:
        from ladder.curriculum import load_curriculum

        load_curriculum()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


class Graders(importlib.machinery.PathFinder):
    """Imports checks without their known mistakes, which quote the solution."""

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("ladder.graders.") or fullname.count(".") < 3:
            return None
        spec = super().find_spec(fullname, path, target)
        if spec is not None and spec.origin:
            spec.loader = _Stripped(fullname, spec.origin)
        return spec


class _Stripped(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        with open(self.path, encoding="utf-8") as file:
            return compile(without_mistakes(file.read()), self.path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        with open(self.path, encoding="utf-8") as file:
            return without_mistakes(file.read())


def serve(channel: socket.socket, isolation: str, view: View, shell: Any) -> None:
    """Fork a child for each message until the other side goes away; then end all of them."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY) if isolation != "none" else -1
    children: set[int] = set()
    count = 0
    while True:
        message, fds, _, _ = socket.recv_fds(channel, 64, 2)
        if not message:
            break
        _reap(children)
        count += 1
        if isolation != "none":
            sandbox.unshare(sandbox.NEWPID)
        pid = os.fork()
        if pid == 0:
            _child(channel, fds, isolation, view, shell, count)
        if isolation != "none":
            os.setns(own, sandbox.NEWPID) if hasattr(os, "setns") else _setns(own)
        children.add(pid)
        watch = [os.pidfd_open(pid)] if hasattr(os, "pidfd_open") else []
        socket.send_fds(channel, [str(pid).encode()], watch)
        for number in [*fds, *watch]:
            os.close(number)
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        if isolation == "none":
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)


def _setns(number: int) -> None:
    if sandbox._libc.setns(number, sandbox.NEWPID):
        os._exit(3)  # the next child would be in a strange place


def _reap(children: set[int]) -> None:
    for pid in list(children):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        children.discard(pid)


def _child(channel: socket.socket, fds: Sequence[int], isolation: str, view: View, shell: Any,
           number: int) -> None:
    """The life of one submission's process; it never returns."""
    from ladder.cohort import shell as cells

    out = fds[1]
    try:
        os.setsid()
        job = Job.loads(_all_of(fds[0]))
        channel.close()
        keep = 9  # out of the way of the standard descriptors
        out = os.dup2(out, keep)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.closerange(3, keep)
        os.closerange(keep + 1, 4096)
        if isolation == "none":
            home = _bare(job)
        else:
            sandbox.confine(view, job.limits, number, isolation == "root")
            home = HOME
        _settle(job, home)
        _reseed()
    except BaseException:
        text = traceback.format_exc()[-2000:]
        with contextlib.suppress(OSError):
            cells.Sender(out).send("broken", text)
        os._exit(4)
    try:
        cells.run(shell, job.cells, out)
    finally:
        os._exit(0)


def _bare(job: Job) -> str:
    """Without namespaces: a folder of its own and what limits there are."""
    import dataclasses
    import tempfile

    sandbox.limit(dataclasses.replace(job.limits, processes=0))
    return tempfile.mkdtemp(prefix="ladder-")


def _settle(job: Job, home: str) -> None:
    import base64

    folder = os.path.join(home, job.day or "assignment")
    os.makedirs(folder)
    for name, data in job.files.items():
        path = os.path.normpath(os.path.join(folder, name))
        if path.startswith(folder + os.sep):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(base64.b64decode(data))
    os.chdir(folder)
    for name in list(os.environ):
        if name not in ("PATH", "LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "LD_LIBRARY_PATH"):
            del os.environ[name]
    os.environ.update({"HOME": home, "USER": "learner", "MPLBACKEND": "agg", "MPLCONFIGDIR": home,
                       "TMPDIR": "/tmp", "IPYTHONDIR": home, "LADDER_WORK": f"{home}/work"})
    os.environ.update(job.environment)
    sys.path.insert(0, "")


def _reseed() -> None:
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()


def _all_of(number: int) -> bytes:
    with os.fdopen(number, "rb") as file:
        return file.read()


if __name__ == "__main__":
    main()
