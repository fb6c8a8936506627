"""The engines that are compared: how each is started, given the images, driven and ended."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import fixtures  # noqa: E402

SKIFF = os.environ.get("SKIFF_BINARY", str(ROOT / "target/release/skiff"))
DOCKER = "/usr/local/bin/docker"


class Peer:
    """An engine under test. `cli` is the command prefix that drives it."""

    name = ""
    cli = []
    run_flags = ()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
        # What ends with the boot is on a tmpfs (see bench.py).
        self.run = pathlib.Path("/run") / self.base.name
        self.run.mkdir()

    def start(self):
        return self

    def stop(self):
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.run, ignore_errors=True)

    def command(self, *args):
        return [*self.cli, *map(str, args)]

    def out(self, *args, **kwargs):
        done = subprocess.run(self.command(*args), env=self.env, capture_output=True, text=True, **kwargs)
        assert done.returncode == 0, (self.name, args, done.stderr)
        return done.stdout.strip()

    def import_image(self, tar, name):
        with open(tar, "rb") as data:
            subprocess.run(self.command("import", "-", name), env=self.env, stdin=data, check=True, capture_output=True)

    def pids(self):
        """Processes that belong to the engine and not to a container."""
        return []


class Served(Peer):
    """An engine with a daemon on a unix socket."""

    daemon = []
    patterns = ()

    def start(self):
        self.socket = self.base / "s.sock"
        self.log = open(self.base / "log", "wb")
        self.process = subprocess.Popen(self.daemon_command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        probe = [DOCKER, "-H", f"unix://{self.socket}", "version"]
        while subprocess.run(probe, env=self.env, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, (self.base / "log").read_text()
            time.sleep(0.05)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 15)
        super().stop()

    def pids(self):
        base = self.base.name.encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                if base in command:
                    found.append(int(pid))
        return found


class Skiff(Served):
    name = "skiff"

    def daemon_command(self):
        self.cli = [SKIFF, "-H", f"unix://{self.socket}"]
        return [SKIFF, "daemon", "-H", f"unix://{self.socket}", "--data-root", self.base / "d", "--exec-root", self.run, "--pidfile", self.base / "pid"]

    def through_docker_cli(self):
        other = Peer.__new__(Peer)
        other.name, other.cli = "skiff through docker CLI", [DOCKER, "-H", f"unix://{self.socket}"]
        return other


class Docker(Served):
    name = "docker.io"

    def daemon_command(self):
        self.cli = [DOCKER, "-H", f"unix://{self.socket}"]
        return [
            "dockerd", "-H", f"unix://{self.socket}", "--data-root", self.base / "d", "--exec-root", self.run,
            "--pidfile", self.base / "pid", "--iptables=false", "--bridge=none", "--ip-forward=false",
        ]  # fmt: skip

    def pids(self):
        """dockerd, its containerd, and the shims (which name the containerd socket)."""
        return super().pids()


class Podman(Peer):
    name = "podman"
    # Without these it asks for more than the hard limits of a machine without CAP_SYS_RESOURCE.
    run_flags = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

    def start(self):
        self.cli = [
            "podman", "--root", str(self.base / "d"), "--runroot", str(self.run), "--runtime", "crun",
            "--events-backend", "none", "--cgroup-manager", "cgroupfs",
        ]  # fmt: skip
        return self

    def stop(self):
        subprocess.run(self.command("rm", "-af", "-t", "0"), capture_output=True)
        for mount in [line.split()[4] for line in open("/proc/self/mountinfo") if self.base.name in line][::-1]:
            subprocess.run(["umount", "-l", mount], capture_output=True)
        super().stop()


def bundle(base, args=("true",)):
    """An OCI bundle of busybox that needs no network and no terminal."""
    base.mkdir(parents=True)
    (base / "rootfs").mkdir()
    subprocess.run(["tar", "-C", base / "rootfs", "-xf", fixtures.busybox_tar()], check=True)
    subprocess.run(["runc", "spec"], cwd=base, check=True)
    spec = json.loads((base / "config.json").read_text())
    spec["process"]["terminal"] = False
    spec["process"]["args"] = list(args)
    (base / "config.json").write_text(json.dumps(spec))
    return base


def pss_kb(pids):
    """Sum of proportional set sizes, in kB."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total
