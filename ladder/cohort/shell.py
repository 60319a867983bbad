"""Run the cells of one submission in this process, in IPython's shell, and send what they show.

There is no Jupyter kernel and no ZeroMQ: outputs leave as length-prefixed JSON through a pipe. The
other side (``ladder.cohort.warmed``) trusts nothing of it, since the learner's code runs right here.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

STREAM = 4 * 2**20   # characters of text that one cell may show; the other side clips as well
CHUNK = 2**16
_PREFIX = struct.Struct("!I")


class Sender:
    """Frames into a pipe."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()

    def send(self, kind: str, content: Any = None) -> None:
        text = json.dumps([kind, content], default=_plain).encode()
        view = memoryview(_PREFIX.pack(len(text)) + text)
        with self.lock:
            while view:
                view = view[os.write(self.number, view):]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


class Stream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr``: kept for a while, sent in chunks, cut where it is too long."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, sender: Sender) -> None:
        self.name = name
        self._sender = sender
        self._parts: list[str] = []
        self._held = 0
        self._left = STREAM
        self._mine = threading.RLock()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._mine:
            if self._left > 0:
                kept = text[:self._left + 1]  # one more than allowed: the other side says so
                self._left -= len(kept)
                self._parts.append(kept)
                self._held += len(kept)
        if self._held > CHUNK:
            self.flush()
        return len(text)

    def flush(self) -> None:
        with self._mine:
            text, self._parts, self._held = "".join(self._parts), [], 0
        if text:
            self._sender.send("stream", {"name": self.name, "text": text})

    def renew(self) -> None:
        self._left = STREAM


class Hook(DisplayHook):
    """The value of a cell's last line."""

    shell: Any
    _data: dict[str, Any] | None = None

    def write_output_prompt(self) -> None:
        self._data = None

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self._data = format_dict

    def finish_displayhook(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if self._data:
            self.shell.sender.send("execute_result", {
                "data": self._data, "execution_count": self.prompt_count})
        self._data = None


class Publisher(DisplayPublisher):
    """``display(...)``."""

    shell: Any

    def publish(self, data: Any, metadata: Any = None, source: Any = None, *, transient: Any = None,
                update: bool = False, **more: Any) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if not update:  # updates of earlier displays leave no trace in a graded notebook
            self.shell.sender.send("display_data", {"data": data})

    def clear_output(self, wait: bool = False) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.shell.sender.send("clear_output", {"wait": bool(wait)})


class Shell(InteractiveShell):
    """IPython without a terminal, a history file or a kernel."""

    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)
    sender: Sender

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.sender.send("error", {"ename": str(etype.__name__), "evalue": str(evalue),
                                   "traceback": list(stb)})

    def init_readline(self) -> None: ...

    def enable_gui(self, gui: Any = None) -> None:
        """There is no window to show anything in."""

    def system(self, cmd: str) -> None:
        """``!command``; there is no terminal to run it in."""
        import subprocess

        answer = subprocess.run(self.var_expand(cmd, depth=1), shell=True, text=True, check=False,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, errors="backslashreplace")
        sys.stdout.write(answer.stdout)
        self.user_ns["_exit_code"] = answer.returncode

    def ask_exit(self) -> None:
        """``exit`` typed into a notebook cell ends nothing here."""


def make_shell() -> Shell:
    """The shell, made and warmed before a submission is forked: its first error costs 0.1 s."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.enable_tip = False
    shell = Shell.instance(config=config)
    quiet = os.open(os.devnull, os.O_WRONLY)
    shell.sender = Sender(quiet)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        shell.run_cell("def _warm(x):\n    return 1 / x\n_warm(0)", store_history=False)
        shell.run_cell("from IPython.display import display\n1 + 1; display('')", store_history=False)
    for name in ("_warm", "display"):
        shell.user_ns.pop(name, None)
    os.close(quiet)
    return shell


def run(shell: Shell, cells: Iterable[tuple[int, str]], out: int) -> None:
    """Run ``cells`` one after another and send what happens through the pipe ``out``."""
    sender = shell.sender = Sender(out)
    sys.stdout, sys.stderr = Stream("stdout", sender), Stream("stderr", sender)
    streams = (sys.stdout, sys.stderr)
    sys.stdin = open(os.devnull)  # noqa: SIM115, it is the standard input from now on
    below = _Below(sender)
    for index, source in cells:
        sender.send("start", index)
        for stream in streams:
            stream.renew()
        began = time.perf_counter()
        try:
            shell.run_cell(source, store_history=True)
        except KeyboardInterrupt as stop:  # between the cell's own code and IPython's
            sender.send("error", {"ename": "KeyboardInterrupt", "evalue": str(stop), "traceback": []})
        taken = time.perf_counter() - began
        for stream in streams:
            stream.flush()
        below.forward()
        sender.send("done", [index, shell.execution_count - 1, round(taken, 6)])
    sender.send("end")


class _Below:
    """What programs and libraries write to the file descriptors 1 and 2, past ``sys.stdout``."""

    def __init__(self, sender: Sender) -> None:
        import tempfile

        self.sender = sender
        self.file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
        for number in (1, 2):
            os.dup2(self.file.fileno(), number)

    def forward(self) -> None:
        size = os.fstat(self.file.fileno()).st_size
        if size:
            text = os.pread(self.file.fileno(), STREAM + 1, 0).decode("utf-8", "backslashreplace")
            os.ftruncate(self.file.fileno(), 0)
            os.lseek(1, 0, os.SEEK_SET)
            self.sender.send("stream", {"name": "stdout", "text": text})
