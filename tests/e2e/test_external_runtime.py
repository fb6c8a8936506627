"""Containers run by other OCI runtimes (`--add-runtime`): runc and crun do all that ours does."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import conftest
import leftovers
from conftest import Cli, Daemon, load_images, poll, remove_containers

RUNC = shutil.which("runc")
CRUN = shutil.which("crun")

pytestmark = pytest.mark.skipif(conftest.REFERENCE is not None, reason="needs a daemon of its own")


class External(Daemon):
    """A daemon that knows one more runtime, called `other`."""

    def __init__(self, path, *flags):
        super().__init__("--add-runtime", f"other={path}", *flags)
        # crun 1.8 refuses hosts that mount an empty cgroup2 tree beside version 1.
        self.hides_unified = "crun" in str(path) and os.path.ismount("/sys/fs/cgroup/unified")

    def start(self):
        if not self.hides_unified:
            return super().start()
        command = [conftest.SKIFF, "daemon", "-H", self.host, "--data-root", self.data_root, "--exec-root", self.exec_root]
        command += ["--pidfile", self.base / "pid", *self.flags]
        inner = 'umount /sys/fs/cgroup/unified && exec "$@"'
        with open(self.log, "ab") as log:
            command = ["unshare", "-m", "sh", "-c", inner, "sh", *map(str, command)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()
        return self

    def monitor_of(self, pid):
        """The parent of a container's init."""
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

    def mounts(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/mountinfo").read_text()
        return [line for line in text.splitlines() if f"{self.exec_root}/bundles" in line]

    def leaves_nothing(self):
        """No bundle, mount, state of the runtime or control group of any container."""
        bundles = self.exec_root / "bundles"
        states = self.exec_root / "runtimes" / "other"
        groups = [g for top in self.cgroup_parents() for g in top.iterdir() if g.is_dir()]
        found = [*(bundles.iterdir() if bundles.exists() else []), *(states.iterdir() if states.exists() else [])]
        return not found and not self.mounts() and not groups


def serve(path, *flags):
    before = leftovers.snapshot()
    daemon = External(path, *flags)
    try:
        daemon.start()
        load_images(daemon)
        yield daemon
        if daemon.process.poll() is None:
            remove_containers(daemon)
            poll(daemon.leaves_nothing, "all of the containers to be gone")
    finally:
        daemon.destroy()
    leftovers.assert_same(before, ours=daemon.base)


@pytest.fixture(scope="module", params=[RUNC, CRUN], ids=["runc", "crun"])
def external(request):
    if request.param is None:
        pytest.skip("not installed")
    yield from serve(request.param)


@pytest.fixture
def runc():
    """A daemon of the test's own, with runc."""
    yield from serve(RUNC)


@pytest.fixture
def cli(external):
    yield Cli("docker", external)
    remove_containers(external)
    poll(external.leaves_nothing, "all of the containers to be gone")


def run(cli, *args, **kwargs):
    return cli.run("--runtime", "other", *args, **kwargs)


def sleeper(cli, *flags):
    return cli.sleeper("--runtime", "other", *flags)


def fake(tmp_path, script):
    """A runtime that is a shell script. `$verb` is the command; $log the log's path."""
    path = tmp_path / "runtime"
    head = '#!/bin/sh\nfor word; do\n case $word in create|start|delete|kill|exec) verb=$word; break;; esac\n case $before in --log) log=$word;; esac\n before=$word\ndone\n'
    path.write_text(head + script)
    path.chmod(0o755)
    return path


def test_streams_exit_code_and_identity(cli):
    done = run(cli, "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert run(cli, "-i", "--rm", "busybox", "cat", input="piped").stdout == "piped"
    script = "id -u; id -g; pwd; hostname; echo $X $HOME; grep -E 'Seccomp:|SigBlk' /proc/self/status; cat /proc/self/oom_score_adj"
    out = run(cli, "--rm", "-u", "1000:5", "-w", "/a/b", "-h", "box", "-e", "X=y", "busybox", "sh", "-c", script).stdout
    assert out.split() == "1000 5 /a/b box y /home/app SigBlk: 0000000000000000 Seccomp: 2 0".split()


def test_a_terminal_has_its_size_and_is_resized(cli):
    api = cli.daemon.api()
    host = api.api.create_host_config(network_mode="none", runtime="other")
    command = "while read x; do stty size; done"
    container = api.api.create_container("busybox", ["sh", "-c", command], tty=True, stdin_open=True, host_config=host)
    api.api.start(container)
    api.api.resize(container, height=33, width=77)
    socket = api.api.attach_socket(container, params={"stdin": 1, "stream": 1})
    socket._sock.sendall(b"\n")
    poll(lambda: "33 77" in api.api.logs(container).decode(), "the new size")
    socket.close()
    api.close()


def test_programs_that_cannot_run_have_dockers_exit_codes(cli):
    for program, code in (("nope", 127), ("/etc/passwd", 126)):
        # Docker's CLI does not know crun's capital letters, and says 125.
        done = run(cli, "--name", "c1", "busybox", program, code=None)
        assert done.returncode in (code, 125)
        assert "failed to create task for container: failed to create shim task: OCI runtime create failed: " in done.stderr
        assert "executable" in done.stderr or "exec: " in done.stderr
        assert ": unknown\n" in done.stderr
        assert cli.inspect("c1", "State.ExitCode") == code
        cli("rm", "c1")
    name = sleeper(cli)
    done = cli("exec", name, "nope", code=None)
    assert done.returncode in (126, 127)
    assert "OCI runtime exec failed: " in done.stdout + done.stderr
    cli("rm", "-f", name)


def test_exec_has_streams_terminal_user_and_exit_code(cli):
    name = sleeper(cli)
    done = cli("exec", name, "sh", "-c", "echo out; echo err >&2; exit 5", code=5)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert cli("exec", "-i", name, "cat", input="piped").stdout == "piped"
    assert cli.out("exec", "-t", name, "sh", "-c", "test -t 0 && tty").strip().startswith("/dev/")
    out = cli.out("exec", "-u", "app", "-w", "/tmp", "-e", "X=y", name, "sh", "-c", "id -u; pwd; echo $X; grep SigBlk /proc/self/status")
    assert out.split() == "1000 /tmp y SigBlk: 0000000000000000".split()
    cli("exec", "-d", name, "touch", "/tmp/made")
    poll(lambda: cli("exec", name, "test", "-e", "/tmp/made", code=None).returncode == 0, "the detached exec")


def test_a_container_lives_its_life(cli):
    name = sleeper(cli, "-m", "64m")
    assert cli.inspect(name, "HostConfig.Runtime") == "other"
    assert "sleep infinity" in cli.out("top", name)
    cli("pause", name)
    assert cli.status(name) == "paused"
    cli("unpause", name)
    cli("update", "--memory", "96m", "--memory-swap", "96m", name)
    assert "96MiB" in cli.out("stats", "--no-stream", name)
    cli("cp", "/etc/hostname", f"{name}:/copied")
    cli("exec", name, "test", "-s", "/copied")
    assert "A /copied" in cli.out("diff", name)
    cli("restart", "-t", "5", name)
    assert cli.inspect(name, "State.ExitCode") == 0 and cli.status(name) == "running"
    cli("exec", name, "test", "-s", "/copied")
    cli("kill", "-s", "TERM", name)
    assert cli.out("wait", name) == "143"
    cli("start", name)
    cli("pause", name)
    cli("rm", "-f", name)


def test_init_reaps_and_passes_signals_on(cli):
    script = "(sleep 0.01 &) ; trap 'exit 9' USR1; while :; do sleep 0.05; done"
    run(cli, "-d", "--init", "--name", "c1", "busybox", "sh", "-c", script)
    assert "docker-init" in cli.out("exec", "c1", "cat", "/proc/1/cmdline")
    count = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    poll(lambda: cli.out("exec", "c1", "sh", "-c", count) == "0", "orphans to be reaped")
    cli("kill", "-s", "USR1", "c1")
    assert cli.out("wait", "c1") == "9"
    assert run(cli, "--rm", "--init", "busybox", "nope", code=127).stderr.startswith("docker-init: exec nope: ")


def test_health_checks_and_restart_policies(cli):
    name = sleeper(cli, "--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "1")
    poll(lambda: cli.inspect(name, "State.Health.Status") == "unhealthy", "an unhealthy container")
    cli("exec", name, "touch", "/well")
    poll(lambda: cli.inspect(name, "State.Health.Status") == "healthy", "a healthy container")
    run(cli, "-d", "--name", "c1", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo once; exit 3")
    poll(lambda: cli.inspect("c1", "RestartCount") == 2 and cli.status("c1") == "exited", "the restarts")
    assert cli.out("logs", "c1").splitlines() == ["once"] * 3


def test_volumes_read_only_roots_and_shared_namespaces(cli, tmp_path):
    (tmp_path / "f").write_text("mine")
    out = run(cli, "--rm", "--read-only", "--tmpfs", "/t", "-v", f"{tmp_path}:/v", "-v", "vol:/w", "busybox", "sh", "-c",
              "cat /v/f; touch /t/x /w/x; touch /x || echo refused", code=0).stdout
    assert out == "minerefused\n"
    name = sleeper(cli)
    link = cli.out("exec", name, "readlink", "/proc/self/ns/net")
    # Ours joins that of a container of another runtime, and the other way round.
    for runtime in ("other", "skiff"):
        joined = cli("run", "--rm", "--runtime", runtime, "--network", f"container:{name}", "busybox", "readlink", "/proc/self/ns/net")
        assert joined.stdout.strip() == link
    cli("volume", "rm", "-f", "vol", code=None)


def test_containers_survive_the_daemon(cli, external):
    run(cli, "-d", "--init", "--name", "c1", "busybox", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    before = cli.inspect("c1", "State.Pid")
    external.kill9()
    external.start()
    assert (cli.status("c1"), cli.inspect("c1", "State.Pid")) == ("running", before)
    seen = len(cli.out("logs", "c1").splitlines())
    poll(lambda: len(cli.out("logs", "c1").splitlines()) > seen, "more output")
    numbers = [int(n) for n in cli.out("logs", "c1").splitlines()]
    assert numbers == list(range(len(numbers)))
    assert cli.out("exec", "c1", "echo", "in") == "in"
    cli("pause", "c1")
    external.kill9()
    external.start()
    assert cli.status("c1") == "paused"
    cli("unpause", "c1")
    cli("stop", "-t", "2", "c1")
    assert cli.inspect("c1", "State.ExitCode") == 143


def test_info_shows_the_runtimes_and_unknown_ones_are_refused(cli, external):
    info = json.loads(cli.out("info", "-f", "{{json .}}"))
    assert set(info["Runtimes"]) == {"skiff", "runc", "io.containerd.runc.v2", "other"}
    assert info["Runtimes"]["other"]["path"] in (RUNC, CRUN)
    assert info["DefaultRuntime"] == "skiff"
    done = cli("run", "--rm", "--runtime", "nope", "busybox", "true", code=125)
    assert "unknown or invalid runtime name: nope" in done.stderr
    # Docker's names for it are the built-in one's.
    for name in ("runc", "io.containerd.runc.v2"):
        cli.run("--rm", "--runtime", name, "busybox", "true")
    assert not (external.exec_root / "runtimes" / "runc").exists()


@pytest.mark.parametrize("also_daemon", [False, True], ids=["monitor", "both"])
def test_what_a_killed_monitor_leaves_is_cleared_away(runc, also_daemon):
    cli = Cli("docker", runc)
    name = sleeper(cli)
    cli("exec", name, "touch", "/precious")
    pid = cli.inspect(name, "State.Pid")
    if also_daemon:
        runc.kill9()
    os.kill(runc.monitor_of(pid), signal.SIGKILL)
    if also_daemon:
        runc.start()
    poll(lambda: cli.status(name) == "exited", "the loss to be noticed")
    poll(runc.leaves_nothing, "the remains to be cleared away")
    poll(lambda: not os.path.exists(f"/proc/{pid}"), "the container's end")
    # Not a file of the container's has gone with them.
    cli("start", name)
    cli("exec", name, "test", "-e", "/precious")


def test_a_default_runtime_with_arguments(tmp_path):
    called = tmp_path / "called"
    path = fake(tmp_path, f'echo "$1 $2 $verb" >>{called}; shift 2; exec {RUNC} "$@"\n')
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"runtimes": {"wrapped": {"path": str(path), "runtimeArgs": ["--mine", "a b"]}}, "default-runtime": "wrapped"}))
    daemon = Daemon("--config-file", str(config))
    try:
        daemon.start()
        load_images(daemon)
        cli = Cli("docker", daemon)
        assert cli.run("--rm", "busybox", "echo", "hi").stdout == "hi\n"
        assert "Default Runtime: wrapped" in cli.out("info")
        poll(lambda: "--mine a b delete" in called.read_text(), "the end")
        poll(lambda: not list((daemon.exec_root / "bundles").iterdir()), "the bundle to be gone")
    finally:
        daemon.destroy()
    assert called.read_text().splitlines()[:2] == ["--mine a b create", "--mine a b start"]


def test_a_long_exec_root_has_terminals_all_the_same(tmp_path):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    for daemon in serve(RUNC):
        daemon.stop()
        daemon.exec_root = long
        daemon.start()
        cli = Cli("docker", daemon)
        assert run(cli, "--rm", "-t", "busybox", "tty").stdout.strip() == "/dev/pts/0"


@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        (None, 127, "unable to retrieve OCI runtime error"),
        ("echo complaint; exit 4\n", 127, "did not terminate successfully: exit status 4"),
        ("""echo '{"level":"error","msg":"no luck today"}' >>$log; exit 1\n""", 125, "OCI runtime create failed: no luck today: unknown"),
        # It says that it has made a container, and has not.
        ("exit 0\n", 127, "init.pid: no such file or directory"),
    ],
    ids=["missing", "silent", "failing", "lying"],
)
def test_a_runtime_that_fails_leaves_nothing(tmp_path, script, code, says):
    path = fake(tmp_path, script) if script else "/nonexistent/runtime"
    for daemon in serve(path):
        cli = Cli("docker", daemon)
        done = run(cli, "--rm", "busybox", "true", code=code)
        assert says in done.stderr
        poll(daemon.leaves_nothing, "nothing to be left")
        # The others are not harmed.
        assert cli.run("--rm", "busybox", "echo", "hi").stdout == "hi\n"


def test_a_runtime_that_vanishes_does_not_keep_its_container(tmp_path):
    path = tmp_path / "runc"
    shutil.copy(RUNC, path)
    for daemon in serve(path):
        cli = Cli("docker", daemon)
        name = sleeper(cli)
        path.unlink()
        assert cli("exec", name, "true", code=None).returncode != 0
        cli("stop", "-t", "5", name)
        assert cli.inspect(name, "State.ExitCode") == 143
        cli("rm", name)
        poll(daemon.leaves_nothing, "nothing to be left")


def test_a_container_whose_runtime_left_the_settings_is_refused(tmp_path):
    for daemon in serve(RUNC):
        cli = Cli("docker", daemon)
        name = sleeper(cli)
        cli("stop", "-t", "5", name)
        daemon.stop()
        daemon.flags = [flag for flag in daemon.flags if flag not in ("--add-runtime", f"other={RUNC}")]
        daemon.start()
        assert "unknown or invalid runtime name: other" in cli("start", name, code=1).stderr
        cli("rm", name)
