"""This process, and whether another one on this machine still lives."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Where Linux tells of processes.
_PROC = Path("/proc")
#: Of the words behind the name in /proc/PID/stat: the state, and the start in ticks since the machine's.
_STATE, _START = 0, 19
#: Dead, though nobody has asked yet how it ended.
_DEAD = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Process:
    host: str
    pid: int
    #: tells it from those that had or will have its pid; empty where the system does not tell
    birth: str


@cache
def _space() -> str:
    """What pids are counted in: two containers may have the same host's name and the same pids."""
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""


def _birth(pid: int) -> str | None:
    """None: no such process lives."""
    try:
        words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[_STATE] in _DEAD else f"{_space()} {words[_START]}"


def this_process() -> Process:
    pid = os.getpid()
    return Process(socket.gethostname(), pid, _birth(pid) or "")


def has_ended(process: Process) -> bool:
    """Whether it ran on this machine and lives no more. False where nobody here can tell."""
    here = this_process()
    if process.host != here.host or process.birth.partition(" ")[0] != here.birth.partition(" ")[0]:
        return False
    return _birth(process.pid) != process.birth if here.birth else _is_unknown(process.pid)


def _is_unknown(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
