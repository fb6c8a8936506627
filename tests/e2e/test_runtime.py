"""`skiff runtime` as an OCI runtime: by its own command line, under docker.io's dockerd, containerd and podman."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import fixtures
import leftovers
from conftest import DOCKER, REFERENCE, SKIFF, Cli, Reference, load_images, poll
from test_streams import Terminal

pytestmark = pytest.mark.skipif(bool(REFERENCE), reason="Skiff's own runtime")


@pytest.fixture(scope="module")
def base():
    before = leftovers.snapshot()
    path = pathlib.Path(tempfile.mkdtemp(prefix="skrt-", dir="/var/tmp"))
    (path / "runc").symlink_to(SKIFF)
    yield path
    shutil.rmtree(path)
    leftovers.assert_same(before, ours=path)


class Runtime:
    """The command line, with a bundle of busybox."""

    def __init__(self, base):
        self.base, self.bundle, self.root = base, base / "bundle", base / "state"
        (self.bundle / "rootfs").mkdir(parents=True)
        subprocess.run(["tar", "-C", self.bundle / "rootfs", "-xf", fixtures.busybox_tar()], check=True)
        self("spec", "--bundle", self.bundle)
        self.default = json.loads((self.bundle / "config.json").read_text())

    def __call__(self, *args, code=0):
        # Files, since a detached container keeps its streams: of a pipe we would never see the end.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            command = [SKIFF, "runtime", "--root", self.root, *map(str, args)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=30)
            out.seek(0), err.seek(0)
            done.stdout, done.stderr = out.read(), err.read()
        assert code is None or done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        return done

    def configure(self, *args, **changes):
        spec = json.loads(json.dumps(self.default))
        spec["process"]["terminal"] = False
        spec["process"]["args"] = list(args)
        for path, value in changes.items():
            where = spec
            *parents, last = path.split("__")
            for key in parents:
                where = where.setdefault(key, {})
            where[last] = value
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def state(self, name):
        return json.loads(self("state", name).stdout)


@pytest.fixture(scope="module")
def runtime(base):
    return Runtime(base)


def test_run(runtime):
    runtime.configure("sh", "-c", "echo out; exit 7")
    assert runtime("run", "--bundle", runtime.bundle, "r1", code=7).stdout == "out\n"
    assert runtime("list", "-q").stdout == ""


def test_create_start_state_kill_delete(runtime):
    runtime.configure("sleep", "infinity")
    pid_file = runtime.base / "pid"
    done = subprocess.run(
        [SKIFF, "runtime", "--root", runtime.root, "create", "--bundle", runtime.bundle, "--pid-file", pid_file, "r2"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0
    state = runtime.state("r2")
    assert (state["status"], state["pid"], state["bundle"]) == ("created", int(pid_file.read_text()), str(runtime.bundle))
    runtime("start", "r2")
    assert runtime.state("r2")["status"] == "running"
    assert runtime("delete", "r2", code=1).stderr
    assert runtime("start", "r2", code=1).stderr
    runtime("pause", "r2")
    assert runtime.state("r2")["status"] == "paused"
    runtime("resume", "r2")
    assert runtime("exec", "r2", "echo", "in").stdout == "in\n"
    assert runtime("exec", "r2", "sh", "-c", "exit 5", code=5)
    assert str(state["pid"]) in runtime("ps", "r2").stdout
    assert [c["id"] for c in json.loads(runtime("list", "-f", "json").stdout)] == ["r2"]
    runtime("update", "--pids-limit", "50", "r2")
    runtime("kill", "r2", "KILL")
    poll(lambda: runtime.state("r2")["status"] == "stopped", "its end")
    runtime("delete", "r2")
    runtime("state", "r2", code=1)


def test_unknown_capabilities_are_a_warning(runtime):
    runtime.configure("true", process__capabilities={"bounding": ["CAP_CHOWN", "CAP_NOPE"]})
    assert "CAP_NOPE" in runtime("run", "--bundle", runtime.bundle, "r6").stderr


def test_two_containers_cannot_share_a_group(runtime):
    runtime.configure("sleep", "infinity", linux__cgroupsPath="/skiff-e2e-shared")
    runtime("run", "-d", "--bundle", runtime.bundle, "r7")
    assert "cgroup is not empty" in runtime("run", "--bundle", runtime.bundle, "r8", code=1).stderr
    assert runtime("exec", "r7", "echo", "alive").stdout == "alive\n"
    runtime("delete", "-f", "r7")


def test_a_container_without_mounts_of_its_own_leaves_none(runtime):
    runtime.configure("sh", "-c", "readlink /proc/self/ns/mnt; ls /; exec sleep infinity")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "mount"]
    (runtime.bundle / "config.json").write_text(json.dumps(spec))

    def mounts():
        """Of the host, without those of daemons that run beside this test."""
        return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if "/tmp/sk-" not in line]

    before = mounts()
    runtime("run", "-d", "--bundle", runtime.bundle, "r9")
    own = runtime("exec", "r9", "sh", "-c", "readlink /proc/self/ns/mnt; ls /bin/busybox").stdout.split()
    assert own == [os.readlink("/proc/self/ns/mnt"), "/bin/busybox"]
    runtime("delete", "-f", "r9")
    spec["process"]["args"] = ["nope"]
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    runtime("run", "--bundle", runtime.bundle, "r9", code=1)
    assert mounts() == before


def test_a_filter_older_than_our_calls_stops_nothing(runtime):
    """Profiles from before openat2, close_range, clone3 and faccessat2 answer EPERM to them."""
    names = ["openat2", "close_range", "clone3", "faccessat2"]
    filtered = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}]}
    runtime.configure("sh", "-c", "pwd; id -u", linux__seccomp=filtered, process__noNewPrivileges=False, process__cwd="/tmp", process__user={"uid": 7, "gid": 7})
    assert runtime("run", "--bundle", runtime.bundle, "r10").stdout == "/tmp\n7\n"


def test_a_taken_id_is_refused(runtime):
    runtime.configure("sleep", "infinity")
    runtime("run", "-d", "--bundle", runtime.bundle, "r3")
    assert runtime("create", "--bundle", runtime.bundle, "r3", code=1).stderr
    runtime("delete", "-f", "r3")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x y"])
def test_bad_ids_are_refused(runtime, name):
    runtime.configure("true")
    runtime("run", "--bundle", runtime.bundle, name, code=1)


def test_bad_configurations_leave_nothing(runtime):
    for text in ("", "{", "[]", '{"ociVersion":"1.0.0"}'):
        (runtime.bundle / "config.json").write_text(text)
        assert runtime("run", "--bundle", runtime.bundle, "r4", code=1).stderr
    runtime.configure("nope")
    assert "executable file not found in $PATH" in runtime("run", "--bundle", runtime.bundle, "r4", code=None).stderr
    assert runtime("list", "-q").stdout == ""


def test_hooks_run_in_order(runtime):
    log = runtime.base / "hooks"
    log.write_text("")
    hook = lambda word: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {log}.state; echo {word} >> {log}"]}]  # noqa: E731
    runtime.configure("true", hooks={name: hook(name) for name in ("prestart", "createRuntime", "poststart", "poststop")})
    runtime("run", "--bundle", runtime.bundle, "r5")
    assert log.read_text().split() == ["prestart", "createRuntime", "poststart", "poststop"]
    assert json.loads(pathlib.Path(f"{log}.state").read_text())["id"] == "r5"


def test_features_and_version(runtime):
    assert json.loads(runtime("features").stdout)["ociVersionMax"]
    assert "spec: 1." in subprocess.run([SKIFF, "runtime", "--version"], capture_output=True, text=True, check=True).stdout


# ---- Under other engines ----


class Dockerd(Reference):
    """docker.io's daemon with our runtime as its default."""

    def __init__(self, base):
        self.base = base / "docker"
        self.base.mkdir()
        super().__init__(f"unix://{self.base}/s.sock")
        self.log = self.base / "log"

    def start(self):
        command = ["dockerd", "-H", self.host, "--data-root", self.base / "d", "--exec-root", self.base / "x", "--pidfile", self.base / "pid"]
        command += ["--iptables=false", "--bridge=none", "--ip-forward=false", "--add-runtime", f"skiff={self.base.parent}/runc", "--default-runtime", "skiff"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()
        return self

    def destroy(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def under_docker(base):
    daemon = Dockerd(base)
    try:
        daemon.start()
        load_images(daemon)
        cli = Cli("docker", daemon)
        yield cli
        for name in cli.out("ps", "-aq").split():
            cli("rm", "-f", name)
    finally:
        daemon.destroy()


def test_docker_runs_with_it(under_docker):
    assert under_docker.run("--rm", "busybox", "echo", "hello").stdout == "hello\n"
    under_docker.run("--rm", "busybox", "sh", "-c", "exit 3", code=3)
    under_docker.run("--rm", "busybox", "nope", code=127)
    assert under_docker.run("--rm", "-u", "app", "-w", "/tmp", "--memory", "64m", "--read-only", "busybox", "id", "-un").stdout == "app\n"


def test_docker_executes_pauses_kills_and_stops_with_it(under_docker):
    name = under_docker.sleeper()
    assert under_docker.out("exec", name, "echo", "in") == "in"
    under_docker("exec", name, "sh", "-c", "exit 9", code=9)
    under_docker("pause", name)
    assert under_docker.status(name) == "paused"
    under_docker("unpause", name)
    under_docker("update", "--memory", "64m", "--memory-swap", "64m", name)
    assert "sleep" in under_docker.out("top", name)
    under_docker("stop", "-t", "5", name)
    assert under_docker.inspect(name, "State.ExitCode") == 143
    under_docker("start", name)
    under_docker("kill", name)
    assert under_docker.out("wait", name) == "137"


def test_docker_has_terminals_with_it(under_docker):
    t = Terminal(under_docker, "run", "--rm", "-it", "--network", "none", "busybox", "sh")
    t.expect("/ # ")
    t.type("tty; exit 5\r")
    t.expect("/dev/pts/0")
    assert t.end() == 5
    t = Terminal(under_docker, "exec", "-it", under_docker.sleeper(), "sh")
    t.expect("/ # ")
    t.type("exit 6\r")
    assert t.end() == 6


def test_our_command_line_drives_dockerd(under_docker):
    """It asks a daemon of ours for more at once than dockerd would understand."""
    cli = Cli("skiff", under_docker.daemon)
    assert cli.run("--rm", "busybox", "sh", "-c", "echo out; exit 3", code=3).stdout == "out\n"
    assert cli.run("--rm", "-i", "busybox", "cat", input="typed").stdout == "typed"
    cli.run("--rm", "busybox", "nope", code=127)
    name = cli.run("-d", "busybox", "sleep", "infinity").stdout.strip()
    assert cli.out("exec", name, "echo", "in") == "in"
    assert cli("exec", "-i", name, "sh", "-c", "cat; exit 9", input="typed", code=9).stdout == "typed"
    cli("exec", "-d", name, "true")
    assert cli("exec", name, "nope", code=None).returncode in (126, 127)
    cli("rm", "-f", name)


def test_containerd_runs_with_it(under_docker, base, tmp_path):
    """ctr against the containerd that dockerd started, in a namespace of its own."""
    ctr = ["ctr", "--address", str(base / "docker/x/containerd/containerd.sock"), "--namespace", "skiff-test"]
    rootfs = base / "bundle/rootfs"
    # A bare root file system has no environment, so no PATH to search.
    command = [*ctr, "run", "--rm", "--runc-binary", str(base / "runc"), "--rootfs", str(rootfs), "t1", "/bin/echo", "hello"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    for parent in pathlib.Path("/sys/fs/cgroup").glob("*/skiff-test"):
        parent.rmdir()
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


@pytest.mark.skipif(not shutil.which("podman"), reason="podman is not installed")
def test_podman_runs_with_it(base):
    podman = ["podman", "--root", str(base / "pd"), "--runroot", str(base / "px"), "--runtime", str(base / "runc"), "--events-backend", "none", "--cgroup-manager", "cgroupfs"]
    with open(fixtures.busybox_tar(), "rb") as tar:
        subprocess.run([*podman, "import", "-", "busybox"], stdin=tar, check=True, capture_output=True)
    done = subprocess.run([*podman, "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "busybox", "echo", "hello"], capture_output=True, text=True, timeout=60)
    for mount in [line.split()[4] for line in open("/proc/self/mountinfo") if str(base / "p") in line][::-1]:
        subprocess.run(["umount", "-l", mount])
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
