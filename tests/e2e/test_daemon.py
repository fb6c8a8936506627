"""Containers outlive the daemon: kill -9 at any moment loses no container, log line or exit code."""

import json
import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest

from conftest import Cli, poll


@pytest.fixture
def cli(own_daemon):
    return Cli("docker", own_daemon)


def crash(daemon):
    daemon.kill9()
    daemon.start()


def test_a_running_container_survives(cli, own_daemon):
    cli.run("-d", "--init", "--name", "c1", "busybox", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    before = cli.inspect("c1", "State")
    crash(own_daemon)
    after = cli.inspect("c1", "State")
    assert (after["Status"], after["Pid"], after["StartedAt"]) == ("running", before["Pid"], before["StartedAt"])
    seen = len(cli.out("logs", "c1").splitlines())
    poll(lambda: len(cli.out("logs", "c1").splitlines()) > seen, "more output")
    numbers = [int(n) for n in cli.out("logs", "c1").splitlines()]
    assert numbers == list(range(len(numbers)))
    assert cli.out("exec", "c1", "echo", "in") == "in"
    cli("stop", "-t", "2", "c1")
    assert cli.inspect("c1", "State.ExitCode") == 143


def test_a_monitor_that_does_not_answer_keeps_its_container(cli, own_daemon):
    name = cli.sleeper("--restart", "always")
    before = cli.inspect(name, "State.Pid")
    monitor = int(open(f"/proc/{before}/stat").read().rsplit(")", 1)[1].split()[1])
    os.kill(monitor, signal.SIGSTOP)
    crash(own_daemon)
    assert (cli.status(name), cli.inspect(name, "State.Pid")) == ("running", before)
    waiting = cli.spawn("exec", name, "echo", "in")
    os.kill(monitor, signal.SIGCONT)
    assert waiting.communicate(timeout=20)[0] == b"in\n"
    cli("exec", name, "sh", "-c", "echo word >/proc/1/fd/1")
    poll(lambda: cli.out("logs", name) == "word", "the log")
    cli("stop", "-t", "5", name)
    assert (cli.status(name), cli.inspect(name, "State.ExitCode")) == ("exited", 143)


def test_an_exit_while_the_daemon_is_away_is_not_lost(cli, own_daemon, tmp_path):
    cli.run("-d", "--name", "c1", "-v", f"{tmp_path}:/v", "busybox", "sh", "-c", "until test -e /v/go; do sleep 0.01; done; echo last words; exit 23")
    pid = cli.inspect("c1", "State.Pid")
    own_daemon.kill9()
    (tmp_path / "go").touch()
    poll(lambda: not os.path.exists(f"/proc/{pid}"), "the container to end")
    own_daemon.start()
    state = cli.inspect("c1", "State")
    assert (state["Status"], state["ExitCode"]) == ("exited", 23)
    assert cli.out("logs", "c1") == "last words"


def test_the_default_parent_of_control_groups_goes_with_the_daemon(own_daemon):
    own_daemon.stop()
    own_daemon.flags = []
    own_daemon.start()
    cli = Cli("docker", own_daemon)
    name = cli.sleeper()
    parents = list(pathlib.Path("/sys/fs/cgroup").glob("*/skiff")) + list(pathlib.Path("/sys/fs/cgroup").glob("skiff"))
    assert parents
    cli("rm", "-f", name)
    own_daemon.stop()
    # One that somebody else's container is in stays: the name is every daemon's on this machine.
    assert not [parent for parent in parents if parent.exists() and not any(child.is_dir() for child in parent.iterdir())]


def test_stopping_the_daemon_stops_no_container(cli, own_daemon):
    cli.run("-d", "--init", "--name", "c1", "busybox", "sleep", "infinity")
    pid = cli.inspect("c1", "State.Pid")
    own_daemon.process.send_signal(signal.SIGTERM)
    assert own_daemon.process.wait(5) == 0
    assert os.path.exists(f"/proc/{pid}")
    own_daemon.start()
    assert cli.inspect("c1", "State.Pid") == pid


def test_an_attached_stream_notices_nothing(cli, own_daemon):
    """Its socket is the monitor's; only what waits for the daemon itself (as `docker run` does) ends."""
    cli("create", "--network", "none", "-i", "--name", "c1", "busybox", "cat")
    api = own_daemon.api()
    stream = api.api.attach_socket("c1", {"stdin": 1, "stdout": 1, "stream": 1})._sock
    cli("start", "c1")
    for word in (b"before\n", b"after\n"):
        stream.sendall(word)
        got = b""
        while len(got) < 8 + len(word):
            piece = stream.recv(100)
            assert piece, "the stream has ended"
            got += piece
        assert got[8:] == word
        if word == b"before\n":
            crash(own_daemon)
    stream.close()
    api.close()
    cli("rm", "-f", "c1")


def test_restart_policies_after_a_crash(cli, own_daemon):
    cli.run("-d", "--name", "c1", "--restart", "always", "busybox", "sleep", "infinity")
    cli.run("-d", "--name", "c2", "busybox", "sleep", "infinity")
    pids = [cli.inspect(c, "State.Pid") for c in ("c1", "c2")]
    own_daemon.kill9()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        poll(lambda: not os.path.exists(f"/proc/{pid}"), "its end")
    own_daemon.start()
    poll(lambda: cli.status("c1") == "running", "the restart")
    assert (cli.status("c2"), cli.inspect("c2", "State.ExitCode")) == ("exited", 137)


def test_a_killed_monitor_is_noticed(cli, own_daemon):
    cli.run("-d", "--name", "c1", "busybox", "sleep", "infinity")
    pid = cli.inspect("c1", "State.Pid")
    monitor = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    os.kill(monitor, signal.SIGKILL)
    poll(lambda: cli.status("c1") == "exited", "the end to be recorded")
    assert cli.inspect("c1", "State.ExitCode") == 137
    poll(lambda: not os.path.exists(f"/proc/{pid}"), "its processes to be gone")


def test_a_damaged_record_does_not_stop_the_daemon(cli, own_daemon):
    for n in range(4):
        cli("create", "--network", "none", "--name", f"c{n}", "busybox")
    ids = [cli.inspect(f"c{n}", "Id") for n in range(4)]
    own_daemon.kill9()
    for damage, container in zip((b"", b"{", b"\0" * 100), ids):
        (own_daemon.data_root / "containers" / container / "config.json").write_bytes(damage)
    own_daemon.start()
    assert cli.status("c3") == "created"
    for container in ids[:3]:
        assert cli.status(container) == "dead"
        cli("rm", "-f", container)
    assert cli.out("ps", "-aq", "--no-trunc") == ids[3]


def test_random_kills_under_load_lose_nothing_acknowledged(cli, own_daemon):
    rng = random.Random(7)
    acknowledged, stop = set(), threading.Event()

    def work(worker):
        n = 0
        while not stop.is_set():
            name = f"w{worker}-{n}"
            n += 1
            if cli.run("-d", "--init", "--name", name, "busybox", "sleep", "infinity", code=None).returncode == 0:
                acknowledged.add(name)
                if rng.random() < 0.5:
                    acknowledged.discard(name)  # a removal that is cut off may be done or not
                    cli("rm", "-f", name, code=None)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(6):
        count = len(acknowledged)
        poll(lambda: len(acknowledged) > count or stop.wait(rng.random() / 10), "some work")
        crash(own_daemon)
    stop.set()
    for worker in workers:
        worker.join()
    listed = set(cli.out("ps", "-a", "--format", "{{.Names}}").split())
    assert acknowledged - listed == set()
    for name in acknowledged:
        assert cli.status(name) == "running", name
    if listed:
        cli("rm", "-f", *listed)
    assert cli.out("ps", "-aq") == ""


def test_two_daemons_do_not_share_a_root(own_daemon):
    command = [own_daemon.process.args[0], "daemon", "-H", f"unix://{own_daemon.base}/other.sock"]
    command += ["--data-root", own_daemon.data_root, "--exec-root", own_daemon.exec_root, "--pidfile", own_daemon.base / "pid2"]
    second = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and second.stderr.strip()


@pytest.mark.parametrize(
    "config, says",
    [
        ({"nope": 1}, "the following directives don't match any configuration option: nope"),
        ({"data-root": "/x"}, "the following directives are specified both as a flag and in the configuration file: data-root"),
        ("{", "unable to configure"),
    ],
)
def test_bad_configuration_files_are_refused(own_daemon, tmp_path, config, says):
    (tmp_path / "daemon.json").write_text(config if isinstance(config, str) else json.dumps(config))
    command = [own_daemon.process.args[0], "daemon", "--config-file", tmp_path / "daemon.json", "--data-root", tmp_path / "d"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and says in done.stderr


def test_the_socket_is_closed_to_others(own_daemon):
    mode = os.stat(own_daemon.socket).st_mode & 0o777
    assert mode == 0o660
    assert os.stat(own_daemon.data_root).st_mode & 0o007 == 0


def test_unknown_daemon_flags_are_refused(own_daemon):
    done = subprocess.run([own_daemon.process.args[0], "daemon", "--nope"], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "unknown flag: --nope" in done.stderr
