"""Download a file: verified, resumed after a break, from mirrors in order, safe with several at once.

pooch checks the sha256 of what has arrived and renames it into place, so that the final name never
holds anything else. What pooch does not have is ours: a ``.part`` file that survives a broken
connection and goes on where it stopped (``Range`` with ``If-Range``), patience that is renewed by
progress, and a lock so that two processes do not fetch one file twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ladder import __version__
from ladder.errors import DataError

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
ATTEMPTS = 4
PAUSE_SECONDS = 0.5
PROGRESS_BYTES = 1 << 16  # an attempt that got this much further does not count as a failure
FORGIVE_SECONDS = 60.0  # how long a host that could not be reached is not asked again
CHUNK = 1 << 16

_unreachable: dict[str, float] = {}


@dataclass(frozen=True)
class Source:
    """What to download: addresses in order, and how to know that it is right."""

    urls: tuple[str, ...]
    sha256: str
    bytes: int | None = None
    head: bool = False


class Broken(Exception):
    """The transfer broke; what arrived is kept, and another attempt may go on from there."""


class Useless(Exception):
    """This address does not have the file; asking it again would not help."""


def download(source: Source, target: Path, *, progress: bool = True) -> None:
    """Put the file at ``target``, or raise DataError and leave nothing there that is wrong."""
    from ladder.data.store import sha256

    try:
        with alone(target):
            if target.exists() and sha256(target) == source.sha256:
                return
            problems = []
            for url in source.urls:
                problem = _from_address(url, source, target, progress)
                if problem is None:
                    return
                problems.append(f"  {url}: {problem}")
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}. Free some space, or set "
                        "LADDER_CACHE to a folder you may write to.") from error
    raise DataError(
        f"{target.name} could not be downloaded:\n" + "\n".join(problems) + "\nCheck the network "
        "and run `ladder data fetch` again (it goes on where it stopped), or put the file into "
        "the folder LADDER_DATA.")


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Hold the lock of ``target``; the system frees it if this process dies."""
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    locks = target.parent / ".locks"
    locks.mkdir(exist_ok=True)
    lock = FileLock(locks / f"{target.name}.lock")
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        print(f"waiting: another process is getting {target.name} / 另一个进程正在获取，请稍候",
              file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _from_address(url: str, source: Source, target: Path, progress: bool) -> str | None:
    """Try one address until it succeeds (None) or is given up (why)."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    host = urlsplit(url).netloc
    if time.monotonic() - _unreachable.get(host, -FORGIVE_SECONDS) < FORGIVE_SECONDS:
        return "the host could not be reached a moment ago"
    transfer = Transfer(source, target, progress)
    failures, furthest, problem = 0, transfer.have(), ""
    while failures < ATTEMPTS:
        if failures:
            time.sleep(PAUSE_SECONDS * 2 ** (failures - 1))
        try:
            pooch.retrieve(url, f"sha256:{source.sha256}", fname=target.name, path=target.parent,
                           downloader=transfer)
            return None
        except Useless as error:
            return str(error)
        except (Broken, requests.RequestException) as error:
            if not transfer.connected and _never_connected(error):
                _unreachable[host] = time.monotonic()
                return "the host cannot be reached"
            if isinstance(error, requests.TooManyRedirects | requests.exceptions.InvalidURL):
                return _plain(error)
            problem = _plain(error)
        except ValueError as error:  # pooch found another checksum and has deleted the file
            if "hash" not in str(error):
                raise
            problem = "what arrived has the wrong sha256 (damaged on the way, or another version)"
        here = transfer.have()
        failures = 0 if here >= furthest + PROGRESS_BYTES else failures + 1
        furthest = max(here, furthest)
    return f"{problem}; gave up after {ATTEMPTS} attempts"


def _never_connected(error: Exception) -> bool:
    """No connection came about: no such host, refused, or no answer to the call."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _plain(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:200] or type(error).__name__


class Transfer:
    """A pooch downloader that goes on where an earlier transfer of the same file stopped."""

    def __init__(self, source: Source, target: Path, progress: bool) -> None:
        self.source = source
        self.part = target.with_name(target.name + ".part")
        self.validator = target.with_name(target.name + ".part.from")
        self.progress = progress
        self.connected = False

    def have(self) -> int:
        """How many bytes are here from earlier attempts."""
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Receive the rest, then hand the whole to pooch, which verifies it."""
        if self.source.bytes is None or self.have() != self.source.bytes:
            self._receive(url)
        os.replace(self.part, output_file)
        self.validator.unlink(missing_ok=True)

    def _receive(self, url: str) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        size, have = self.source.bytes, self.have()
        if size is not None and have > size:
            self.discard()
            have = 0
        headers = {"User-Agent": f"llm-ladder/{__version__} (pooch)", "Accept-Encoding": "identity"}
        if have or self.source.head:
            last = size - 1 if self.source.head and size else ""
            headers["Range"] = f"bytes={have}-{last}"
        if have and (validator := self._validator_of(url)):
            headers["If-Range"] = validator
        with requests.get(url, headers=headers, stream=True,
                          timeout=(CONNECT_SECONDS, STALL_SECONDS)) as response:
            self.connected = True
            start = self._start(response, have)
            self._remember(url, response)
            try:
                self._write(response, start)
            except HTTPError as error:
                raise Broken(f"the connection broke after {self.have():,} bytes "
                             f"({type(error).__name__})") from error

    def _start(self, response: Any, have: int) -> int:
        """The position of the first byte that this answer carries."""
        status, size = response.status_code, self.source.bytes
        if status == 206:
            sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)",
                                response.headers.get("Content-Range", "").strip())
            total = sent and sent[2] != "*" and int(sent[2])
            if not sent or int(sent[1]) != have:
                self.discard()
                raise Broken("the server sent another part of the file than was asked for")
            if size is not None and total and total != size and not self.source.head:
                self.discard()
                raise Useless(f"the file there has {total:,} bytes, expected {size:,}")
            if have and self._encoding(response):
                self.discard()
                raise Broken("the server compresses a part; starting again")
            return have
        if status == 200:
            length = response.headers.get("Content-Length", "")
            if (size is not None and not self.source.head and length.isdigit()
                    and int(length) != size and not self._encoding(response)):
                raise Useless(f"the file there has {int(length):,} bytes, expected {size:,}")
            return 0
        if status == 416 and have:
            self.discard()
            raise Broken("the server has no more than what is here; starting again")
        if status in (408, 425, 429) or status >= 500:
            raise Broken(f"the server answered {status} {response.reason}")
        raise Useless(f"the server answered {status} {response.reason}")

    def _encoding(self, response: Any) -> str:
        """A compression that the server added although none was asked for, to be undone."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        packed = self.part.name.removesuffix(".part").endswith((".gz", ".tgz"))
        return "" if encoding == "identity" or packed else encoding

    def _write(self, response: Any, start: int) -> None:
        from tqdm.auto import tqdm

        size, encoding = self.source.bytes, self._encoding(response)
        position = start
        with (self.part.open("ab" if start else "wb") as stream,
              tqdm(total=size, initial=start, unit="B", unit_scale=True, unit_divisor=1024,
                   desc=self.part.name.removesuffix(".part"),
                   disable=not self.progress) as bar):
            for chunk in response.raw.stream(CHUNK, decode_content=bool(encoding)):
                if size is not None and position + len(chunk) > size:
                    if not self.source.head:
                        break
                    chunk = chunk[: size - position]
                stream.write(chunk)
                position += len(chunk)
                bar.update(len(chunk))
                if self.source.head and position == size:
                    return
            else:
                if size is not None and position < size:
                    raise Broken(f"the connection closed after {position:,} of {size:,} bytes")
                return
        self.discard()
        raise Useless(f"the file there has more than the expected {size:,} bytes")

    def _remember(self, url: str, response: Any) -> None:
        """Keep what tells this version of the file from a later one, for If-Range."""
        etag = response.headers.get("ETag", "")
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
        self.validator.write_text(f"{url}\n{validator}\n", encoding="utf-8")

    def _validator_of(self, url: str) -> str:
        """The validator of the kept part, if it came from this address."""
        try:
            origin, validator = self.validator.read_text(encoding="utf-8").split("\n")[:2]
        except (OSError, ValueError):
            return ""
        return validator if origin == url else ""
