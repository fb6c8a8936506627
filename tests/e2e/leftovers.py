"""What a container engine could leave behind on a machine, listed and compared."""

import os
import pathlib
import time


def snapshot():
    """Mounts, control groups and network links of this machine, as sets of strings."""
    return {
        "mounts": set(_mounts()),
        "cgroups": set(_cgroups()),
        "links": set(os.listdir("/sys/class/net")),
    }


def assert_same(before, ours=None, timeout_s=10):
    """Nothing more than `before`; given a moment, since clean-up may trail the last answer.

    Tests run side by side, and other engines with them, so only what carries the name of `ours` (the
    root directory of one daemon), when given, counts as left behind.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        more = {kind: sorted(_of(found - before[kind], ours)) for kind, found in snapshot().items()}
        more = {kind: found for kind, found in more.items() if found}
        if not more:
            return
        assert time.monotonic() < deadline, f"left behind: {more}"
        time.sleep(0.05)


def processes_of(base):
    """Pids of processes whose command line names a path under `base`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if str(base).encode() in command and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def _of(found, ours):
    return found if ours is None else [f for f in found if ours.name in f]


def _mounts():
    with open("/proc/self/mountinfo") as lines:
        return [" ".join(line.split()[3:5]) for line in lines]


def _cgroups():
    root = "/sys/fs/cgroup"
    for directory, names, _ in os.walk(root):
        for name in names:
            yield os.path.join(directory, name)
