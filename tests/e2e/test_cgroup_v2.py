"""Only where control groups are version 2: what the unified hierarchy is told, with both drivers."""

import os
import pathlib

import pytest

from conftest import Cli, Daemon, load_images, poll

ROOT = pathlib.Path("/sys/fs/cgroup")
pytestmark = pytest.mark.skipif(not (ROOT / "cgroup.controllers").exists(), reason="needs cgroup v2 (tests/vm/run)")
SYSTEMD = os.path.isdir("/run/systemd/system")


@pytest.fixture(scope="module", params=["cgroupfs"] + (["systemd"] if SYSTEMD else []))
def cli(request):
    daemon = Daemon("--exec-opt", f"native.cgroupdriver={request.param}")
    daemon.start()
    load_images(daemon)
    cli = Cli("skiff", daemon)
    cli.driver = request.param
    yield cli
    for name in cli.out("ps", "-aq").split():
        cli("rm", "-f", name)
    daemon.destroy()


def group(cli, name):
    pid = cli.inspect(name, "State.Pid")
    return ROOT / pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().split("::", 1)[1].lstrip("/")


def test_the_daemon_says_so(cli):
    assert cli.out("info", "--format", "{{.CgroupVersion}} {{.CgroupDriver}}") == f"2 {cli.driver}"


def test_a_group_per_container_that_goes_away(cli):
    name = cli.sleeper()
    path = group(cli, name)
    full = cli.inspect(name, "Id")
    expected = f"docker-{full}.scope" if cli.driver == "systemd" else full
    assert path.name == expected or full in path.name
    cli("rm", "-f", name)
    poll(lambda: not path.exists(), "the group to be removed")


@pytest.mark.parametrize(
    "flags, file, value",
    [
        (["--memory", "64m", "--memory-swap", "96m"], "memory.max", str(64 << 20)),
        (["--memory", "64m", "--memory-swap", "96m"], "memory.swap.max", str(32 << 20)),
        (["--memory-reservation", "32m"], "memory.low", str(32 << 20)),
        (["--cpus", "0.5"], "cpu.max", "50000 100000"),
        (["--cpu-shares", "512"], "cpu.weight", "59"),  # runc 1.3.2 and later; 20 before
        (["--cpuset-cpus", "0"], "cpuset.cpus", "0"),
        (["--pids-limit", "77"], "pids.max", "77"),
    ],
)
def test_limits(cli, flags, file, value):
    assert (group(cli, cli.sleeper(*flags)) / file).read_text().strip() == value


def test_update(cli):
    name = cli.sleeper()
    cli("update", "--memory", "80m", "--memory-swap", "80m", "--pids-limit", "33", name)
    assert (group(cli, name) / "memory.max").read_text().strip() == str(80 << 20)
    assert (group(cli, name) / "pids.max").read_text().strip() == "33"


def test_pause(cli):
    name = cli.sleeper()
    cli("pause", name)
    assert "frozen 1" in (group(cli, name) / "cgroup.events").read_text()
    cli("unpause", name)
    assert "frozen 0" in (group(cli, name) / "cgroup.events").read_text()


def test_devices_are_denied_by_the_program(cli):
    name = cli.sleeper("--cap-add", "MKNOD")
    done = cli("exec", name, "sh", "-c", "mknod /tmp/vda b 254 0 && head -c1 /tmp/vda; head -c1 /dev/zero | wc -c", code=None)
    assert "Operation not permitted" in done.stderr and done.stdout.strip().endswith("1")


def test_the_container_sees_its_own_group_as_the_root(cli):
    assert cli.run("--rm", "busybox", "cat", "/proc/self/cgroup").stdout.strip() == "0::/"
    assert "cgroup2" in cli.run("--rm", "busybox", "grep", "/sys/fs/cgroup", "/proc/mounts").stdout


def test_out_of_memory_is_noticed(cli):
    cli.run("--name", "oom", "--memory", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "head -c 64m /dev/zero | tail > /dev/null; exit 9", code=None)
    assert cli.inspect("oom", "State.OOMKilled") is True
    cli("rm", "oom")


def test_stats(cli):
    name = cli.sleeper("--memory", "64m")
    line = cli.out("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", name)
    assert "64MiB" in line and line.split()[-1] == "2"
