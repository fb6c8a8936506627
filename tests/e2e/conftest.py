"""The rig: a daemon of our own in temporary roots, driven by our CLI, Docker's CLI and docker-py.

Every test that takes `cli` runs twice, with `skiff` and with the real `docker`, against the same
daemon. With SKIFF_E2E_REFERENCE=unix:///path/to/dockerd.sock the same tests run against a real
dockerd instead (only with Docker's CLI): that is how the tests themselves are checked.

At the end of a worker's session everything the daemon could have left on the machine is compared
with what was there before (see leftovers.py).
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

import docker as docker_py
import pytest

import fixtures
import leftovers

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIFF = os.environ.get("SKIFF_BINARY", str(ROOT / "target/release/skiff"))
DOCKER = os.environ.get("DOCKER_BINARY", "/usr/local/bin/docker")
REFERENCE = os.environ.get("SKIFF_E2E_REFERENCE")
TIMEOUT_S = int(os.environ.get("SKIFF_E2E_TIMEOUT_S", "60"))


class Daemon:
    """One `skiff daemon` with roots under a temporary directory."""

    def __init__(self, *flags):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="sk-", dir="/tmp"))
        # Control groups of its own, so that what it leaves can be told from what others have.
        self.cgroup_parent = f"/skiff-{self.base.name}"
        own_parent = [] if "native.cgroupdriver=systemd" in flags else ["--cgroup-parent", self.cgroup_parent]
        self.flags = [*own_parent, *flags]
        self.exec_root = self.base / "x"
        self.data_root = self.base / "d"
        self.socket = self.base / "s.sock"
        self.host = f"unix://{self.socket}"
        self.process = None
        self.log = self.base / "daemon.log"

    def start(self):
        command = [SKIFF, "daemon", "-H", self.host, "--data-root", self.data_root, "--exec-root", self.exec_root]
        command += ["--pidfile", self.base / "pid", *self.flags]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()
        return self

    def wait_ready(self):
        poll(self.answers, f"the daemon to answer (log: {self.log})")

    def answers(self):
        assert self.process is None or self.process.poll() is None, self.log.read_text(errors="replace")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
        return False

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends the daemon and, since containers outlive it, the keeper as well."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(TIMEOUT_S)
        for pid in leftovers.processes_of(self.base):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        poll(lambda: not leftovers.processes_of(self.base), "the keeper to end")

    def cgroup_parents(self):
        """Its parent group in each hierarchy. Others' groups come and go, so no tree is searched."""
        top = pathlib.Path("/sys/fs/cgroup")
        places = [top, *(child for child in top.iterdir() if child.is_dir())]
        return [parent for place in places if (parent := place / self.cgroup_parent.lstrip("/")).exists()]

    def destroy(self):
        self.stop()
        for parent in self.cgroup_parents():
            parent.rmdir()
        shutil.rmtree(self.base)

    def api(self, **kwargs):
        return docker_py.DockerClient(base_url=self.host, timeout=TIMEOUT_S, **kwargs)


class Reference(Daemon):
    """A dockerd somebody else runs."""

    def __init__(self, host):
        self.host, self.socket, self.process = host, pathlib.Path(host.removeprefix("unix://")), None

    def start(self):
        return self

    def destroy(self):
        pass


def poll(condition, what, timeout_s=TIMEOUT_S):
    """Waits until `condition()` is true; asking often, since nothing tells us."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.01)


class Cli:
    """A command line bound to a daemon."""

    def __init__(self, kind, daemon):
        self.kind, self.daemon = kind, daemon
        self.binary = DOCKER if kind == "docker" else SKIFF
        self.env = {**os.environ, "DOCKER_CONFIG": "/nonexistent", "DOCKER_HOST": daemon.host, "TZ": "UTC"}

    def __call__(self, *args, code=0, input=None, **kwargs):
        """Runs it, checks the exit code, gives the CompletedProcess (text)."""
        done = subprocess.run(
            [self.binary, *map(str, args)],
            env=self.env,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=kwargs.pop("text", True),
            timeout=TIMEOUT_S,
            **kwargs,
        )
        assert code is None or done.returncode == code, (
            f"{args}: exit code {done.returncode}, expected {code}\nstdout: {done.stdout}\nstderr: {done.stderr}"
        )
        return done

    def out(self, *args, **kwargs):
        """Standard output without the last newline."""
        return self(*args, **kwargs).stdout.rstrip("\n")

    def spawn(self, *args, **kwargs):
        kwargs = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return subprocess.Popen([self.binary, *map(str, args)], env=self.env, **kwargs)

    def run(self, *args, **kwargs):
        """`run --network none ...`"""
        return self("run", "--network", "none", *args, **kwargs)

    def sleeper(self, *flags, image="busybox"):
        """A running container that sleeps for ever and ends at once on SIGTERM; its name."""
        name = f"c{uuid.uuid4().hex[:12]}"
        self.run("-d", "--init", "--name", name, *flags, image, "sleep", "infinity")
        return name

    def inspect(self, name, path=None):
        found = json.loads(self.out("inspect", name))[0]
        for key in (path or "").split("."):
            found = found[key] if key else found
        return found

    def status(self, name):
        return self.inspect(name, "State.Status")


def load_images(daemon):
    api = daemon.api()
    for name, make, cmd in (("busybox", fixtures.busybox_tar, "sh"), ("debian", fixtures.debian_tar, "bash")):
        # An id depends on the time. One that begins as a container is called ("c1") would be found by
        # that name, when the container is gone.
        while True:
            with open(make(), "rb") as tar:
                api.api.import_image_from_data(tar, repository=name, tag="latest", changes=[f'CMD ["{cmd}"]'])
            made = api.api.inspect_image(name)["Id"]
            if not made.startswith("sha256:c"):
                break
            api.api.remove_image(name)
    api.close()


@pytest.fixture(scope="session")
def daemon():
    before = leftovers.snapshot()
    with contextlib.ExitStack() as stack:
        daemon = Reference(REFERENCE) if REFERENCE else Daemon()
        stack.callback(daemon.destroy)
        daemon.start()
        load_images(daemon)
        yield daemon
    if not REFERENCE:
        leftovers.assert_same(before, ours=daemon.base)


@pytest.fixture(params=["docker"] if REFERENCE else ["skiff", "docker"])
def cli(request, daemon):
    yield Cli(request.param, daemon)
    remove_containers(daemon)


@pytest.fixture
def docker(daemon):
    yield Cli("docker", daemon)
    remove_containers(daemon)


@pytest.fixture
def skiff(daemon):
    if REFERENCE:
        pytest.skip("Skiff's own CLI")
    yield Cli("skiff", daemon)
    remove_containers(daemon)


@pytest.fixture
def api(daemon):
    client = daemon.api()
    yield client
    client.close()
    remove_containers(daemon)


@pytest.fixture
def own_daemon():
    """A daemon only this test uses: it may be killed and restarted."""
    if REFERENCE:
        pytest.skip("needs a daemon of its own")
    before = leftovers.snapshot()
    daemon = Daemon()
    try:
        daemon.start()
        load_images(daemon)
        yield daemon
        if daemon.process.poll() is None:
            remove_containers(daemon)
    finally:
        daemon.destroy()
    leftovers.assert_same(before, ours=daemon.base)


def remove_containers(daemon):
    client = daemon.api()
    for container in client.containers.list(all=True, ignore_removed=True):
        with contextlib.suppress(docker_py.errors.NotFound, docker_py.errors.APIError):
            container.remove(force=True, v=True)
    client.close()
