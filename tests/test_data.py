"""Data sets: found, downloaded from servers that misbehave, imitated; and the manifest itself."""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from ladder import data as datasets
from ladder.commands import data as command
from ladder.data import catalogue
from ladder.data import download as downloads
from ladder.data.download import Source, download
from ladder.data.samples import SAMPLES, sample
from ladder.errors import CurriculumError, DataError
from ladder.readers import iterate_conllu, read_conllu, read_idx, read_jsonl, read_text, read_tsv

sys.path.insert(0, str(Path(__file__).parent))
from misbehaving import good, no_ranges, partial, redirect, serving, status

ROOT = Path(__file__).parent.parent
CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
HALF = 200_000
REAL = Path(os.environ.get("LADDER_DATA") or ROOT.parent / "shared" / "data")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """A cache of one's own, no data folder, impatient downloads."""
    monkeypatch.setenv("LADDER_CACHE", str(tmp_path / "cache"))
    for name in ("LADDER_DATA", "LADDER_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(downloads, "_unreachable", {})


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def use_manifest(tmp_path, monkeypatch):
    def use(entries: dict) -> None:
        path = tmp_path / f"manifest-{len(list(tmp_path.iterdir()))}.yaml"
        full = {name: {"en": "A set.", "zh": "一个数据集。", "licence": "CC0",
                       "home": "https://example.org", **body} for name, body in entries.items()}
        path.write_text(yaml.safe_dump(full, allow_unicode=True))
        monkeypatch.setattr(catalogue, "manifest_path", lambda: path)

    return use


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "there" / "file.bin"


def get(target: Path, *urls: str, content: bytes = CONTENT, **more) -> None:
    download(Source(urls, sha(content), len(content), **more), target, progress=False)


def leaves_nothing(target: Path, *urls: str, message: str, **more) -> str:
    with pytest.raises(DataError, match=message) as caught:
        get(target, *urls, **more)
    assert not target.exists(), "a wrong file must never have the final name"
    return str(caught.value)


def visible(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if not path.name.startswith("."))


# --- the download, against a server that misbehaves ----------------------------------------------

def test_a_plain_download_leaves_the_file_and_nothing_else(server, target):
    get(target, server.url("/file", good(CONTENT)))
    assert target.read_bytes() == CONTENT and visible(target) == ["file.bin"]
    get(target, "http://127.0.0.1:9/never-asked")
    assert len(server.asked) == 1


def test_a_dropped_connection_is_resumed(server, target):
    get(target, server.url("/file", good(CONTENT, stop=HALF), good(CONTENT)))
    assert target.read_bytes() == CONTENT
    assert server.asked == [("/file", None, None), ("/file", f"bytes={HALF}-", '"v1"')]


def test_a_line_that_drops_many_times_still_gets_there(server, target):
    get(target, server.url("/file", *[good(CONTENT, stop=70_000)] * 7, good(CONTENT)))
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 8 > downloads.ATTEMPTS


def test_a_download_given_up_is_resumed_by_the_next(server, target):
    url = server.url("/file", good(CONTENT, stop=HALF), status(503))
    leaves_nothing(target, url, message="503.*gave up after 4 attempts")
    server.url("/file", good(CONTENT))
    get(target, url)
    assert target.read_bytes() == CONTENT and server.ranges("/file")[-1] == f"bytes={HALF}-"


def test_a_process_killed_midway_leaves_a_part_that_is_resumed(server, target):
    url = server.url("/file", good(CONTENT, stop=HALF, stall=True), good(CONTENT))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, url, sha(CONTENT),
                                str(len(CONTENT)), str(target)])
    part = target.with_name("file.bin.part")
    until = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists() and 0 < part.stat().st_size <= HALF
    kept = part.stat().st_size
    get(target, url)
    assert target.read_bytes() == CONTENT and server.ranges("/file")[-1] == f"bytes={kept}-"


def test_a_stalled_server_is_left_and_resumed(server, target):
    get(target, server.url("/file", good(CONTENT, stop=HALF, stall=True), good(CONTENT)))
    kept = int(server.ranges("/file")[1].removeprefix("bytes=").removesuffix("-"))
    assert target.read_bytes() == CONTENT and HALF - downloads.CHUNK < kept <= HALF


def test_a_server_that_ignores_range_starts_again(server, target):
    get(target, server.url("/file", no_ranges(CONTENT, stop=HALF), no_ranges(CONTENT)))
    assert target.read_bytes() == CONTENT and server.ranges("/file") == [None, f"bytes={HALF}-"]


def test_a_server_that_ignores_range_and_always_drops_is_given_up(server, target):
    url = server.url("/file", no_ranges(CONTENT, stop=HALF))
    leaves_nothing(target, url, message="gave up")
    assert len(server.asked) <= downloads.ATTEMPTS + 1


def test_a_file_that_changed_between_two_attempts_starts_again(server, target):
    """The old half has another ETag: If-Range makes the server send the whole new file."""
    old = CONTENT[::-1]
    get(target, server.url("/file", good(old, etag='"old"', stop=HALF), good(CONTENT, '"new"')))
    assert target.read_bytes() == CONTENT
    assert server.asked[1] == ("/file", f"bytes={HALF}-", '"old"')


def test_a_changed_file_without_etag_is_caught_by_the_checksum(server, target):
    old = CONTENT[::-1]
    weak = 'W/"same"'
    url = server.url("/file", good(old, weak, stop=HALF), good(CONTENT, weak))
    get(target, url)
    assert target.read_bytes() == CONTENT
    assert server.ranges("/file") == [None, f"bytes={HALF}-", None]


def test_the_wrong_part_is_not_appended(server, target):
    wrong = partial(CONTENT[:1000], f"bytes 0-999/{len(CONTENT)}")
    get(target, server.url("/file", good(CONTENT, stop=HALF), wrong, good(CONTENT)))
    assert target.read_bytes() == CONTENT and server.ranges("/file")[2] is None


def test_a_part_longer_than_the_file_is_dropped(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(CONTENT + b"more")
    get(target, server.url("/file", good(CONTENT)))
    assert target.read_bytes() == CONTENT and server.ranges("/file") == [None]


def test_a_whole_part_is_verified_without_asking(server, target):
    target.parent.mkdir()
    target.with_name("file.bin.part").write_bytes(CONTENT)
    get(target, server.url("/file", good(CONTENT)))
    assert target.read_bytes() == CONTENT and server.asked == []


def test_truncation_that_the_server_calls_complete(server, target):
    short = server.url("/short", status(200, CONTENT[:HALF]))
    leaves_nothing(target, short, message="has 200,000 bytes, expected 512,000")
    silent = server.url("/silent", no_ranges(CONTENT, stop=HALF, length=False))
    leaves_nothing(target, silent, message="closed after 200,000 of 512,000")


def test_corruption_is_downloaded_again_from_the_start(server, target):
    damaged = CONTENT[:99] + b"!" + CONTENT[100:]
    get(target, server.url("/file", good(damaged), good(CONTENT)))
    assert target.read_bytes() == CONTENT and server.ranges("/file") == [None, None]


def test_lasting_corruption_is_told(server, target):
    damaged = CONTENT[:99] + b"!" + CONTENT[100:]
    message = leaves_nothing(target, server.url("/file", good(damaged)), message="wrong sha256")
    assert "LADDER_DATA" in message and "ladder data fetch" in message
    assert visible(target) == []


@pytest.mark.parametrize("bad", [
    status(404), status(403), status(200), status(301, b""), no_ranges(CONTENT + b"more"),
    no_ranges(CONTENT + b"more", length=False), partial(CONTENT[:9], f"bytes 9-17/{len(CONTENT)}"),
])
def test_the_next_mirror_is_tried(server, target, bad):
    get(target, server.url("/bad", bad), server.url("/good", good(CONTENT)))
    assert target.read_bytes() == CONTENT and visible(target) == ["file.bin"]


def test_what_one_mirror_sent_is_continued_at_another(server, target):
    first = server.url("/first", good(CONTENT, stop=HALF), status(404))
    get(target, first, server.url("/second", good(CONTENT)))
    assert server.asked[-1] == ("/second", f"bytes={HALF}-", None)


def test_refusals_are_not_repeated_but_trouble_is(server, target):
    urls = [server.url("/gone", status(404)), server.url("/busy", status(503))]
    message = leaves_nothing(target, *urls, message="404 Not Found")
    assert len(server.ranges("/gone")) == 1 and len(server.ranges("/busy")) == downloads.ATTEMPTS
    assert "503 Service Unavailable; gave up after 4 attempts" in message


def test_redirects_are_followed_and_loops_told(server, target):
    final = server.url("/final", good(CONTENT))
    get(target, server.url("/start", redirect(final)))
    assert target.read_bytes() == CONTENT
    loop = server.url("/loop", redirect("/loop"))
    leaves_nothing(target.with_name("other"), loop, message="redirects")


def test_a_range_survives_a_redirect(server, target):
    final = server.url("/final", good(CONTENT, stop=HALF), good(CONTENT))
    get(target, server.url("/start", redirect(final)))
    assert target.read_bytes() == CONTENT and server.ranges("/final")[1] == f"bytes={HALF}-"


def test_a_host_that_cannot_be_reached_is_asked_once(server, target, monkeypatch):
    with serving() as gone:
        dead = gone.url("/file")
    message = leaves_nothing(target, dead, dead, message="the host cannot be reached")
    assert "could not be reached a moment ago" in message
    get(target, dead, server.url("/file", good(CONTENT)))


def test_compression_nobody_asked_for_is_undone(server, target):
    packed = gzip.compress(CONTENT)
    get(target, server.url("/file", status(200, packed, Content_Encoding="gzip")))
    assert target.read_bytes() == CONTENT


def test_a_gz_file_is_kept_as_it_is(server, target):
    packed = gzip.compress(CONTENT)
    path = target.with_name("file.gz")
    get(path, server.url("/file.gz", status(200, packed, Content_Encoding="gzip")), content=packed)
    assert path.read_bytes() == packed


@pytest.mark.parametrize("answer", [good, no_ranges])
def test_only_the_head_of_a_large_file(server, target, answer):
    get(target, server.url("/file", answer(CONTENT + b"x" * 10**6)), head=True)
    assert target.read_bytes() == CONTENT
    assert server.ranges("/file") == [f"bytes=0-{len(CONTENT) - 1}"]


def test_the_head_of_a_large_file_is_resumed(server, target):
    longer = CONTENT + b"x" * 10**6
    get(target, server.url("/file", good(longer, stop=HALF), good(longer)), head=True)
    assert target.read_bytes() == CONTENT
    assert server.ranges("/file")[1] == f"bytes={HALF}-{len(CONTENT) - 1}"


def test_an_archive_of_unknown_size(server, target):
    url = server.url("/file", good(CONTENT, stop=HALF), good(CONTENT))
    download(Source((url,), sha(CONTENT)), target, progress=False)
    assert target.read_bytes() == CONTENT and server.ranges("/file")[1] == f"bytes={HALF}-"
    target.with_name("b.part").write_bytes(CONTENT)
    download(Source((url,), sha(CONTENT)), target.with_name("b"), progress=False)  # 416, once more
    assert target.with_name("b").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="LADDER_CACHE"):
        get(tmp_path / "file" / "below", server.url("/file", good(CONTENT)))


def test_progress_is_shown(server, target, capsys):
    download(Source((server.url("/f", good(CONTENT)),), sha(CONTENT), len(CONTENT)), target)
    assert "file.bin: 100%" in capsys.readouterr().err


SCRIPT = """
import sys
from pathlib import Path
from ladder.data.download import Source, download
url, sha, size, target = sys.argv[1:]
download(Source((url,), sha, int(size)), Path(target), progress=False)
"""


def test_two_processes_download_once(server, target):
    def slow(handler):
        time.sleep(0.5)
        good(CONTENT)(handler)

    url = server.url("/file", slow)
    command = [sys.executable, "-c", SCRIPT, url, sha(CONTENT), str(len(CONTENT)), str(target)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert target.read_bytes() == CONTENT and len(server.asked) == 1
    assert visible(target) == ["file.bin"]


def test_threads_do_not_disturb_each_other(server, target):
    url = server.url("/file", good(CONTENT, stop=HALF), good(CONTENT))
    threads = [threading.Thread(target=get, args=(target, url)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT and len(server.asked) == 2


# --- archives ------------------------------------------------------------------------------------

def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def archived(server, packed: bytes, name: str, **files) -> dict:
    url = server.url(f"/{name}", good(packed))
    return {"archives": {"it": {"name": name, "sha256": sha(packed), "urls": [url]}},
            "files": {key: {"accept": [{"archive": "it", "fidelity": "full", "records": 2, **file}]}
                      for key, file in files.items()}}


def test_members_are_taken_out_once_and_the_archive_let_go(server, use_manifest, tmp_path):
    packed = zipped({"in/a.txt": b"one", "in/b.txt": b"two", "../evil": b"no"})
    use_manifest({"set": archived(server, packed, "set.zip",
                                  a={"name": "a.txt", "member": "in/a.txt", "sha256": sha(b"one")},
                                  b={"name": "b.txt", "member": "in/b.txt"})})
    found = datasets.load("set")
    assert found["a"].read_bytes() == b"one" and found["b"].read_bytes() == b"two"
    assert found.fidelity == "full" and len(server.asked) == 1
    assert not list(tmp_path.rglob("*.zip")) and not list(tmp_path.rglob("evil"))
    assert datasets.load("set").paths == found.paths and len(server.asked) == 1

    found["b"].write_bytes(b"too")  # changed by someone: the record of its origin disagrees
    assert datasets.load("set")["b"].read_bytes() == b"two" and len(server.asked) == 2


def test_an_archive_without_the_member_is_told(server, use_manifest):
    body = archived(server, zipped({"x": b""}), "set.zip", a={"name": "a", "member": "y"})
    use_manifest({"set": {**body, "sample": False}})
    with pytest.raises(DataError, match="holds no y"):
        datasets.load("set")
    body = archived(server, zipped({"y": b"1"}), "b.zip",
                    a={"name": "a", "member": "y", "sha256": sha(b"2")})
    use_manifest({"set": {**body, "sample": False}})
    with pytest.raises(DataError, match="another sha256"):
        datasets.load("set")


def test_imdb_mmlu_and_glove_are_converted(server, use_manifest):
    reviews = {f"aclImdb/{split}/{kind}/{number}_{stars}.txt": f"{split} {kind} é".encode()
               for split in ("train", "test") for kind, stars in (("neg", 2), ("pos", 9))
               for number in (10, 9)}
    exams = {"data/dev/anatomy_dev.csv": b'"Which, then?",a,b,"c ""q""",d,C\n',
             "data/dev/virology_dev.csv": b"How?,1,2,3,4,A\n", "data/README.txt": b"words"}
    vectors = {"glove.6B.50d.txt": "".join(
        f"{word} {' '.join(str(i + k) for k in range(50))}\n"
        for i, word in enumerate(("the", "café"))).encode()}
    use_manifest({
        "imdb": archived(server, tarred(reviews), "aclImdb.tar.gz", train={
            "name": "t.jsonl.gz", "convert": "imdb", "member": "aclImdb/train/"}),
        "mmlu": archived(server, tarred(exams, "w"), "data.tar", dev={
            "name": "d.jsonl.gz", "convert": "mmlu", "member": "data/dev/"}),
        "glove": archived(server, zipped(vectors), "glove.zip", vectors={
            "name": "v.npz", "convert": "glove", "member": "glove.6B.50d.txt"}),
    })
    records = read_jsonl(datasets.load("imdb")["train"])
    assert [(r["id"], r["rating"], r["label"]) for r in records] == [
        ("neg/9_2", 2, 0), ("neg/10_2", 2, 0), ("pos/9_9", 9, 1), ("pos/10_9", 9, 1)]
    assert records[0]["text"] == "train neg é"
    assert read_jsonl(datasets.load("mmlu")["dev"]) == [
        {"subject": "anatomy", "question": "Which, then?", "choices": ["a", "b", 'c "q"', "d"],
         "answer": 2},
        {"subject": "virology", "question": "How?", "choices": ["1", "2", "3", "4"], "answer": 0}]
    glove = np.load(datasets.load("glove")["vectors"])
    assert list(glove["words"]) == ["the", "café"] and glove["vectors"].shape == (2, 50)
    assert glove["vectors"].dtype == np.float32 and glove["vectors"][1, 2] == 3


# --- load: where a file comes from, and what it is worth -----------------------------------------

FULL, PART = b"all of it" * 9, b"a part"


def one_set(server=None, **more) -> dict:
    def accepted(name, content, fidelity, records):
        urls = [server.url(f"/{name}", good(content))] if server else []
        return {"name": name, "fidelity": fidelity, "records": records, "sha256": sha(content),
                "bytes": len(content), "urls": urls}

    return {"files": {"it": {"accept": [accepted("full.txt", FULL, "full", 9),
                                        accepted("part.txt", PART, "subset", 2)]}}, **more}


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / "gsm8k" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_search_order(server, use_manifest, tmp_path, monkeypatch):
    use_manifest({"gsm8k": one_set(server)})
    own, cache = tmp_path / "own", tmp_path / "cache" / "data"
    monkeypatch.setenv("LADDER_DATA", str(own))
    own.mkdir()

    assert datasets.load("gsm8k")["it"] == cache / "gsm8k" / "full.txt"  # downloaded
    assert len(server.asked) == 1
    assert datasets.load("gsm8k")["it"] == cache / "gsm8k" / "full.txt"  # cached
    mine = put(own, "full.txt", FULL)
    assert datasets.load("gsm8k")["it"] == mine  # LADDER_DATA before the cache
    mine.unlink()
    part = put(own, "part.txt", PART)
    assert datasets.load("gsm8k").fidelity == "full"  # but the better fidelity first
    (cache / "gsm8k" / "full.txt").unlink()
    found = datasets.load("gsm8k")
    assert found["it"] == part and found.fidelity == "subset"
    assert len(server.asked) == 1, "what is here is not downloaded"
    assert datasets.load("gsm8k", at_least="full").fidelity == "full" and len(server.asked) == 2
    assert datasets.fetch("gsm8k").fidelity == "full"


def test_notices_say_what_a_result_is_worth(use_manifest, tmp_path, monkeypatch):
    use_manifest({"gsm8k": one_set(sample=True)})
    monkeypatch.setenv("LADDER_DATA", str(tmp_path))
    part = put(tmp_path, "part.txt", PART)
    found = datasets.load("gsm8k")
    assert "subset" in found.notice() and "it 2 of 9 records" in found.notice()
    assert "子集" in found.notice("zh") and "CC0" in found.notice("zh")
    part.unlink()
    put(tmp_path, "full.txt", FULL)
    assert datasets.load("gsm8k").notice() == "gsm8k: full, verified by sha256. Licence: CC0."


def test_offline_gives_a_labelled_sample(server, monkeypatch):
    monkeypatch.setenv("LADDER_OFFLINE", "1")
    found = datasets.load("gsm8k")
    assert found.fidelity == "sample" and found.reason.en == "LADDER_OFFLINE is set"
    assert "SAMPLE generated by LLM Ladder, not the real data" in found.notice()
    assert "不是真实数据" in found.notice("zh") and "基准" in found.notice("zh")
    assert "CC BY 4.0" in found.licence
    assert all(path.name.startswith("sample-") for path in found.paths.values())
    assert set(read_jsonl(found["train"])[0]) == {"question", "answer"}
    assert list(datasets.load("gsm8k", "test").paths) == ["test"]
    with pytest.raises(DataError, match="not here as full data: LADDER_OFFLINE is set"):
        datasets.load("gsm8k", at_least="full")
    with pytest.raises(DataError, match="LADDER_OFFLINE"):
        datasets.fetch("gsm8k")
    with pytest.raises(DataError, match="not here as real data"):
        datasets.load("stories260k")
    assert server.asked == []


def test_a_failed_download_gives_a_sample_that_says_why(server, use_manifest):
    use_manifest({"gsm8k": {"files": {key: {"accept": [
        {"name": key, "fidelity": "full", "records": 1, "sha256": sha(b"x"), "bytes": 1,
         "urls": [server.url(f"/{key}", status(404))]}]} for key in ("train", "test")}}})
    found = datasets.load("gsm8k")
    assert found.fidelity == "sample" and "404" in found.notice() and "404" in found.notice("zh")
    assert len(server.asked) == 1, "the first failure settles it"
    with pytest.raises(DataError, match="404"):
        datasets.fetch("gsm8k")


def test_a_wrong_file_in_the_users_folder_is_an_error(server, use_manifest, tmp_path, monkeypatch):
    use_manifest({"gsm8k": one_set(server)})
    monkeypatch.setenv("LADDER_DATA", str(tmp_path))
    path = put(tmp_path, "full.txt", FULL[:-1] + b"!")
    with pytest.raises(DataError) as caught:
        datasets.load("gsm8k")
    message = str(caught.value)
    assert str(path) in message and sha(FULL) in message and sha(path.read_bytes()) in message
    assert "unset LADDER_DATA" in message and server.asked == []
    assert path.exists(), "the user's files are not ours to remove"
    monkeypatch.setenv("LADDER_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match="not a folder"):
        datasets.load("gsm8k")


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, use_manifest, tmp_path):
    use_manifest({"gsm8k": one_set(server)})
    path = put(tmp_path / "cache" / "data", "full.txt", FULL[:-1] + b"!")
    assert datasets.load("gsm8k")["it"] == path and path.read_bytes() == FULL


def test_large_and_extra_files_are_downloaded_only_when_asked_for(server, use_manifest):
    body = archived(server, zipped({"y": b"1"}), "big.zip", a={"name": "a", "member": "y"})
    body["archives"]["it"]["large"] = True
    body["files"]["more"] = {**one_set(server)["files"]["it"], "extra": True}
    use_manifest({"gsm8k": body})
    with pytest.raises(DataError, match="large archive, downloaded only when asked for"):
        datasets.load("gsm8k", "a", at_least="subset")
    assert server.asked == []
    assert set(datasets.load("gsm8k", "more").paths) == {"more"}
    assert set(datasets.fetch("gsm8k").paths) == {"a", "more"}
    assert set(datasets.load("gsm8k").paths) == {"a", "more"}
    with pytest.raises(DataError, match="did you mean more"):
        datasets.load("gsm8k", "mor")
    with pytest.raises(DataError, match="did you mean gsm8k"):
        datasets.load("gsm8")


def test_a_file_that_was_not_loaded_is_told(monkeypatch):
    monkeypatch.setenv("LADDER_OFFLINE", "1")
    with pytest.raises(DataError, match=r"load\('gsm8k', 'train'\)"):
        datasets.load("gsm8k", "test")["train"]


# --- samples -------------------------------------------------------------------------------------

def every_sample() -> dict:
    sample("gsm8k")  # fills the registry
    return SAMPLES


def test_there_is_a_sample_for_every_set_that_says_so():
    entries = datasets.manifest()
    assert {name for name, data in entries.items() if data.sample} == set(every_sample())
    for name, make in every_sample().items():
        assert set(make()) == set(entries[name].files), name


def test_samples_are_deterministic_and_small():
    first = {name: make() for name, make in every_sample().items() if name != "mnist"}
    assert first == {name: make() for name, make in every_sample().items() if name != "mnist"}
    sizes = {key: len(content) for files in first.values() for key, (_, content) in files.items()}
    assert max(sizes.values()) < 100_000


def test_a_sample_is_made_once_and_mended(tmp_path, monkeypatch):
    path = sample("hellaswag")["val"]
    content, made = path.read_bytes(), path.stat().st_mtime_ns
    assert sample("hellaswag")["val"].stat().st_mtime_ns == made
    path.write_bytes(b"spoilt")
    assert sample("hellaswag")["val"].read_bytes() == content


def test_a_sample_without_a_cache_that_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LADDER_CACHE", str(tmp_path / "file"))
    assert read_jsonl(sample("hellaswag")["val"])


def test_the_digits_can_be_learnt():
    digits = sample("mnist")
    x, y = read_idx(digits["train_images"]), read_idx(digits["train_labels"])
    test_x, test_y = read_idx(digits["test_images"]), read_idx(digits["test_labels"])
    assert x.shape == (2000, 28, 28) and x.dtype == y.dtype == np.uint8
    assert np.bincount(y).tolist() == [200] * 10
    means = np.stack([x[y == digit].mean(0) for digit in range(10)]).reshape(10, 784)
    flat = test_x.reshape(500, 784).astype(float)
    scores = flat @ means.T - (means**2).sum(1) / 2
    accuracy = (scores.argmax(1) == test_y).mean()
    assert 0.6 < accuracy < 0.99, "neither noise nor trivial"


def test_the_sample_treebank_and_tables_are_well_formed():
    assert len(read_conllu(sample("ud_english_ewt")["train"])) == 200
    assert set(read_tsv(sample("parallel_pud")["pairs"])[0]) == {"id", "en", "de", "fr", "es"}
    paragraphs = [p for article in json.loads(read_text(sample("squad")["dev"]))["data"]
                  for p in article["paragraphs"]]
    assert all(p["context"][a["answer_start"]:].startswith(a["text"])
               for p in paragraphs for qa in p["qas"] for a in qa["answers"])


# --- the manifest --------------------------------------------------------------------------------

def test_the_manifest_is_valid_and_its_addresses_are_https():
    for data in datasets.manifest().values():
        assert all(data.title) and data.title.en != data.title.zh and data.licence
        for file in data.files.values():
            for item in file.accept:
                for url in item.urls + (item.archive.urls if item.archive else ()):
                    assert url.startswith("https://") and " " not in url, url


@pytest.mark.parametrize(("change", "message"), [
    ({"licens": "x"}, "unknown key 'licens'.*licence"),
    ({"files": {"it": {"accept": []}}}, "best first"),
    ({"files": {"it": {"accept": [{"name": "a", "fidelity": "whole", "records": 1}]}}}, "full or"),
    ({"files": {"it": {"accept": [{"name": "a", "fidelity": "full", "records": 1}]}}}, "sha256"),
    ({"files": {"it": {"accept": [{"name": "a", "fidelity": "full", "records": 1,
                                   "sha256": "xyz"}]}}}, "64 hexadecimal"),
    ({"files": {"it": {"accept": [{"name": "a", "fidelity": "full", "records": 1, "archive": "z",
                                   "member": "m"}]}}}, "archives"),
])
def test_a_mistake_in_the_manifest_is_told(use_manifest, change, message):
    use_manifest({"set": {**one_set(), **change}})
    with pytest.raises(CurriculumError, match=message):
        datasets.manifest()


# --- the command ---------------------------------------------------------------------------------

def ladder_data(*words: str, language: str = "en") -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(words)
    args.language = language
    return command.run(args)


def test_the_list_in_both_languages_and_json(capsys, monkeypatch):
    monkeypatch.setenv("LADDER_OFFLINE", "1")
    assert ladder_data() == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in datasets.manifest()) and "CC BY-SA" in listed
    assert ladder_data(language="zh") == 0 and "许可" in capsys.readouterr().out
    assert ladder_data("--json") == 0
    sets = {row["name"]: row for row in json.loads(capsys.readouterr().out)["sets"]}
    assert sets["mnist"]["here"] == "sample" and sets["stories260k"]["here"] == "none"
    assert sets["mnist"]["bytes"] == 9912422 + 28881 + 1648877 + 4542


def test_fetch_and_path(server, use_manifest, capsys, tmp_path):
    use_manifest({"gsm8k": one_set(server), "sft": {"files": {"it": {"accept": [
        {"name": "x", "fidelity": "full", "records": 1, "sha256": sha(b"x"), "bytes": 1}]}}}})
    assert ladder_data("path", "gsm8k") == 1
    assert "ladder data fetch gsm8k" in capsys.readouterr().err
    assert ladder_data("fetch", "gsm8k", "sft", language="zh") == 1
    said = capsys.readouterr()
    assert "完整数据" in said.out and "未能获取" in said.err and "sft/ of LADDER_DATA" in said.err
    assert ladder_data("path", "gsm8k") == 0
    path = tmp_path / "cache" / "data" / "gsm8k" / "full.txt"
    assert capsys.readouterr().out == f"it\t{path}\n"
    assert ladder_data("fetch", "gsm8k", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "gsm8k": {"fidelity": "full", "paths": {"it": str(path)}}}
    assert ladder_data("--json", "path", "gsm8k") == 0
    assert json.loads(capsys.readouterr().out)["fidelity"] == "full"
    with pytest.raises(DataError, match="did you mean gsm8k"):
        ladder_data("fetch", "gsm8")


def test_the_path_of_a_sample_downloads_nothing(capsys):
    assert ladder_data("path", "hellaswag", "--sample") == 0
    said = capsys.readouterr()
    assert "sample-hellaswag_val.jsonl" in said.out and "SAMPLE" in said.err


def test_listing_imports_nothing_heavy():
    code = ("import sys, argparse; from ladder.commands import data\n"
            "data.run(argparse.Namespace(action=None, json=True, language='en'))\n"
            "heavy = {'torch', 'numpy', 'pooch', 'requests', 'tqdm', 'pydantic', 'filelock'}\n"
            "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the real data, where it is ------------------------------------------------------------------

@pytest.fixture
def real(monkeypatch):
    if not (REAL / "MANIFEST.tsv").exists():
        pytest.skip(f"no real data at {REAL}; set LADDER_DATA to a folder that has it")
    monkeypatch.setenv("LADDER_DATA", str(REAL))
    monkeypatch.setenv("LADDER_OFFLINE", "1")


def test_every_real_file_is_in_the_manifest(real):
    with (REAL / "MANIFEST.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["dataset"] for row in rows} == set(datasets.manifest())
    listed = {(name, item.name, item.sha256): item
              for name, data in datasets.manifest().items()
              for file in data.files.values() for item in file.accept}
    for row in rows:
        item = listed[row["dataset"], row["file"], row["sha256"]]
        assert (item.bytes, item.records) == (int(row["bytes"]), int(row["records"]))


@pytest.mark.parametrize("name", sorted(datasets.manifest()))
def test_the_real_data_loads_and_the_sample_has_its_format(real, name):
    found = datasets.load(name)
    assert found.fidelity in ("full", "subset")
    if not datasets.entry(name).sample:
        return
    made = sample(name)
    for key, path in found.paths.items():
        real_fields, our_fields = shape_of(path), shape_of(made[key])
        assert our_fields == real_fields, f"{name}: {key}"


def shape_of(path: Path):
    """What code that reads the file relies on."""
    stem = path.name.removesuffix(".gz").removesuffix(".bz2")
    if stem.endswith("-ubyte"):
        array = read_idx(path)
        return array.dtype, array.shape[1:], int(array.max()) > 9
    if stem.endswith(".jsonl"):
        return shape_of_value(read_jsonl(path)[0])
    if stem.endswith(".json") and "encoder" not in stem:
        value = json.loads(read_text(path))
        return shape_of_value(value["data"][0]["paragraphs"][0]["qas"][0]
                              if isinstance(value, dict) else value[0])
    if stem.endswith(".conllu"):
        return len(next(iterate_conllu(path)).tokens) > 0
    if stem.endswith(".tsv") and "wordsim" not in stem:
        return set(read_tsv(path)[0])
    if stem.endswith((".tsv", "999.txt")):
        return set(read_tsv(path, ("a", "b", "score"), comment="#")[0])
    if stem.endswith(".csv"):
        return next(csv.reader(read_text(path).splitlines()))
    if stem.endswith(".npz"):
        arrays = np.load(path)
        return set(arrays), arrays["vectors"].dtype, arrays["vectors"].shape[1]
    if stem.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[0] + Path(name).suffix if "/" in name
                    else Path(name).suffix for name in archive.namelist()
                    if not name.endswith(("/", "README", "README.txt"))}
    if stem.endswith(".tgz"):
        with tarfile.open(path) as archive:
            return sorted(archive.getnames())
    return bool(read_text(path).strip())


def shape_of_value(value):
    if isinstance(value, dict):
        return {key: shape_of_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of_value(value[0])] if value else []
    return type(value)
