"""Confine this very process, with Linux namespaces alone: no helper program, no privileges needed.

``confine`` is called in a child that was forked for one submission, before the first line of the
learner's code. After it there is no network, nothing of the file system but the view, no other
process to see or signal, no capability, and a limit for everything that can be used up. It follows
what bubblewrap does; bubblewrap itself execs, so it cannot wrap a process that is warm already.
Left out: a filter of system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from ladder.cohort.jobs import Limits
from ladder.cohort.view import ETC, HOME, View

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_MOUNT_SETATTR = 442
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
PDEATHSIG, CAPBSET_DROP, NO_NEW_PRIVS, CAP_AMBIENT = 1, 24, 38, 47
FIRST_UID = 200_000  # as root, each job has a user id of its own, which owns nothing
CAPABILITIES = 64
BASE, OLD, NEW = "/tmp", "/old", "/new"

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    _call(_libc.unshare(flags), "unshare")


def _call(answer: int, what: str) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0,
          options: str | None = None) -> None:
    _call(_libc.mount(source.encode(), target.encode(), kind and kind.encode(),
                      ctypes.c_ulong(flags), options and options.encode()), f"mount {target}")


def map_ids(inner_uid: int, inner_gid: int, outer_uid: int, outer_gid: int) -> None:
    """One user id in a user namespace just made."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inner_uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inner_gid} {outer_gid} 1")


def confine(view: View, limits: Limits, number: int, privileged: bool) -> None:
    """Enclose this process, the first of a new pid namespace; it ends in an empty HOME.

    ``number`` distinguishes jobs; ``privileged`` says that this is root of the whole machine.
    """
    unshare(NEWNS | NEWNET | NEWIPC | NEWUTS)
    with contextlib.suppress(OSError):
        unshare(NEWCGROUP)
    socket.sethostname("sandbox")
    _loopback()
    uid, gid = (FIRST_UID + number % 50_000,) * 2 if privileged else (os.geteuid(), os.getegid())
    _build(view, limits, uid, gid)
    if privileged:
        os.setgroups([])
        try:
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        except OSError:  # a container without such an id
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
    _own_user_namespace(privileged)
    _drop_privileges()
    limit(limits)
    os.makedirs(HOME, 0o700)
    os.chdir(HOME)


def _own_user_namespace(privileged: bool) -> None:
    """Processes are counted per user namespace, and further ones are forbidden in this one."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        _dumpable()  # else /proc/self belongs to root after a change of user id
        unshare(NEWUSER)
        map_ids(uid, gid, uid, gid)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    except OSError:
        if not privileged:
            raise  # privileged: user namespaces may be switched off, and the user id is fresh


def _dumpable() -> None:
    _libc.prctl(4, 1, 0, 0, 0)


def _build(view: View, limits: Limits, uid: int, gid: int) -> None:
    """A new root: the view alone, read-only, with a private /tmp."""
    mount("none", "/", None, REC | PRIVATE)
    mount("tmpfs", BASE, "tmpfs", NOSUID | NODEV, "mode=0755,size=16m")
    os.mkdir(BASE + OLD)
    os.mkdir(BASE + NEW)
    _pivot(BASE, BASE + OLD)
    os.chdir("/")
    mount("tmpfs", NEW, "tmpfs", NOSUID | NODEV, "mode=0755,size=64m")
    room = f"mode=1777,nr_inodes=50000,size={limits.disk}"
    writable = [NEW + "/tmp", NEW + "/dev/shm"]
    for folder in writable:
        os.makedirs(folder)
        mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, room)
    os.makedirs(NEW + "/var", exist_ok=True)
    os.symlink("/tmp", NEW + "/var/tmp")
    for path in view.shown:
        _show(path, view.shown)
    for path in view.covered:
        if not os.path.isdir(NEW + path):
            try:
                _folder(path)
            except OSError:  # inside what is shown, where it does not exist: nothing to cover
                continue
        mount("tmpfs", NEW + path, "tmpfs", NOSUID | NODEV, "mode=0755,size=32m")
    etc = {path: text.format(uid=uid, gid=gid) for path, text in ETC.items()}
    for path, text in (view.files | etc).items():
        _write(path, text)
    read_only()
    for folder in writable:
        writable_again(folder, room)
    for name in view.devices:
        _device(name)
    _proc()
    os.chdir(NEW)
    _pivot(".", ".")
    _call(_libc.umount2(b".", DETACH), "umount")
    os.chdir("/")


def _show(path: str, shown: Sequence[str]) -> None:
    """Bind ``path``, read-only at once: nothing here may ever write through a bind."""
    source, target = OLD + path, NEW + path
    _folder(os.path.dirname(path))
    if os.path.islink(source):
        link = os.readlink(source)
        os.symlink(link, target)
        place = os.path.normpath(os.path.join(os.path.dirname(path), link))
        inside = any(place == other or place.startswith(other + "/") for other in shown)
        if not inside and os.path.exists(OLD + place) and not os.path.lexists(NEW + place):
            _show(place, shown)
        return
    if os.path.isdir(source):
        _folder(path)
    else:
        _write(path, "")
    mount(source, target, None, BIND | REC)
    if not _set_attributes(target, RDONLY | NOSUID, 0, AT_RECURSIVE):
        mount("none", target, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)


def _device(name: str) -> None:
    source, target = f"{OLD}/dev/{name}", f"{NEW}/dev/{name}"
    if os.path.exists(source):
        mount(source, target, None, BIND)


def _proc() -> None:
    """The processes of this sandbox; where a container forbids mounting it, there is none."""
    with contextlib.suppress(OSError):
        mount("proc", NEW + "/proc", "proc", NOSUID | NODEV | 8)


def _folder(path: str) -> None:
    os.makedirs(NEW + path, exist_ok=True)


def _write(path: str, text: str) -> None:
    """A file that is not there yet, in the new root."""
    _folder(os.path.dirname(path))
    number = os.open(NEW + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(number, "w", encoding="utf-8") as file:
        file.write(text)


def _pivot(new: str, old: str) -> None:
    number = SYS_PIVOT_ROOT[os.uname().machine]
    _call(_libc.syscall(number, new.encode(), old.encode()), "pivot_root")


def read_only() -> None:
    """Everything in the new root; before Linux 5.12, mount by mount."""
    _folder("/proc")
    for name in os.listdir(OLD + "/dev"):
        if name in _ALL_DEVICES:
            _write(f"/dev/{name}", "")
    for name, link in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                       ("stderr", "fd/2")):
        os.symlink(link, f"{NEW}/dev/{name}")
    if _set_attributes(NEW, RDONLY | NOSUID, 0, AT_RECURSIVE):
        return
    for line in Path(OLD + "/proc/self/mounts").read_text().splitlines():
        place = line.split()[1].encode().decode("unicode_escape")
        if place == NEW or place.startswith(NEW + "/"):
            mount("none", place, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)


def writable_again(folder: str, options: str) -> None:
    if not _set_attributes(folder, 0, RDONLY, 0):
        mount("none", folder, None, REMOUNT | BIND | NOSUID | NODEV)


def _set_attributes(path: str, add: int, clear: int, flags: int) -> bool:
    attributes = struct.pack("QQQQ", add, clear, 0, 0)
    answer = _libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, attributes,
                           ctypes.c_size_t(len(attributes)))
    if answer == 0:
        return True
    if ctypes.get_errno() == 38:  # ENOSYS
        return False
    _call(answer, f"mount_setattr {path}")
    return False


def _loopback() -> None:
    """The new network has one interface, to itself; switch it on."""
    with contextlib.suppress(OSError), socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 1 | 64)
        fcntl.ioctl(any_socket, 0x8914, request)


def _drop_privileges() -> None:
    for number in range(CAPABILITIES):
        _libc.prctl(CAPBSET_DROP, number, 0, 0, 0)
    _libc.prctl(CAP_AMBIENT, 4, 0, 0, 0)
    header = struct.pack("Ii", 0x20080522, 0)
    _call(_libc.capset(header, struct.pack("6I", 0, 0, 0, 0, 0, 0)), "capset")
    _call(_libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _libc.prctl(PDEATHSIG, 9, 0, 0, 0)


def limit(limits: Limits) -> None:
    """What can be used up; memory and time of all processes together are watched from outside."""
    base = _data_bytes()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file,
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_DATA: base + limits.memory,
        resource.RLIMIT_CPU: 4 * limits.total + 60,
    }
    if limits.processes:
        wanted[resource.RLIMIT_NPROC] = limits.processes
    for what, most in wanted.items():
        hard = resource.getrlimit(what)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def _data_bytes() -> int:
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 2**30


_ALL_DEVICES = frozenset({"null", "zero", "full", "random", "urandom", "nvidiactl", "nvidia-uvm",
                          "nvidia-uvm-tools", "nvidia-modeset", *(f"nvidia{n}" for n in range(16))})
