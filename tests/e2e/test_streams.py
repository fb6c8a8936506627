"""attach, exec, logs, and terminals."""

import os
import pty
import re
import select
import subprocess
import termios
import time

import pytest

from conftest import REFERENCE, poll


class Terminal:
    """A command line on a pseudo terminal, as a person has it."""

    def __init__(self, cli, *args):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (33, 101))
        self.process = cli.spawn(*args, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, timeout_s=20):
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"waiting for {pattern!r}, have {self.seen!r}"
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                assert re.search(pattern, self.seen), f"ended before {pattern!r}: {self.seen!r}"

    def end(self):
        code = self.process.wait(20)
        os.close(self.master)
        return code


def test_interactive_shell(cli):
    t = Terminal(cli, "run", "--rm", "-it", "--network", "none", "busybox", "sh")
    t.expect("/ # ")
    t.type("echo $((6*7)); exit 5\r")
    t.expect("42")
    assert t.end() == 5


def test_terminal_size_is_passed_on(cli):
    t = Terminal(cli, "run", "--rm", "-it", "--network", "none", "busybox", "sh")
    t.expect("/ # ")
    t.type("stty size\r")
    t.expect("33 101")
    t.type("exit\r")
    assert t.end() == 0


def test_detach_keys_leave_it_running_and_attach_comes_back(cli):
    t = Terminal(cli, "run", "-it", "--name", "c1", "--network", "none", "busybox", "sh")
    t.expect("/ # ")
    t.type("\x10\x11")
    assert t.end() == 0
    assert cli.status("c1") == "running"
    t = Terminal(cli, "attach", "c1")
    t.type("echo back; exit 3\r")
    t.expect("back")
    assert t.end() == 3


def test_own_detach_keys(cli):
    t = Terminal(cli, "run", "-it", "--name", "c1", "--detach-keys", "ctrl-x,x", "--network", "none", "busybox", "sh")
    t.expect("/ # ")
    t.type("\x18x")
    assert t.end() == 0
    assert cli.status("c1") == "running"


def test_attach_sees_output_and_gives_the_exit_code(cli):
    cli.run("-d", "-i", "--name", "c1", "busybox", "sh", "-c", "read x; echo got $x; exit 4")
    watcher = cli.spawn("attach", "--no-stdin", "c1", stdin=subprocess.DEVNULL)
    poll(lambda: "attach" in cli.out("events", "--since", "1m", "--until", "0s", "--filter", "container=c1"), "the client")
    cli("attach", "c1", input="line\n", code=None)  # its output ends with its input, as Docker has it
    assert watcher.communicate(timeout=20)[0] == b"got line\n"
    assert watcher.returncode == 4


def test_attach_to_something_stopped_is_refused(cli):
    cli("create", "--name", "c1", "--network", "none", "busybox")
    assert "cannot attach to a stopped container" in cli("attach", "c1", code=1).stderr


def test_signals_are_passed_on(cli):
    running = cli.spawn("run", "--rm", "--network", "none", "--name", "c1", "busybox", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done")
    assert running.stdout.readline() == b"ready\n"
    running.terminate()
    assert running.wait(20) == 9


def test_start_attached(cli):
    cli("create", "--name", "c1", "-i", "--network", "none", "busybox", "sh", "-c", "cat; exit 6")
    done = cli("start", "-ai", "c1", input="abc", code=6)
    assert done.stdout == "abc"


def test_exec_streams_and_code(cli):
    name = cli.sleeper()
    done = cli("exec", name, "sh", "-c", "echo out; echo err >&2; exit 12", code=12)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert cli("exec", "-i", name, "cat", input="through").stdout == "through"


def test_exec_environment_user_and_directory(cli):
    name = cli.sleeper("-e", "BASE=1")
    out = cli.out("exec", "-e", "MORE=2", "-u", "app", "-w", "/tmp", name, "sh", "-c", "echo $BASE $MORE $HOME; id -u; pwd")
    assert out.split("\n") == ["1 2 /home/app", "1000", "/tmp"]


def test_exec_has_the_containers_isolation(cli):
    name = cli.sleeper()
    script = "grep -E 'Cap(Prm|Eff|Bnd)|Seccomp:' /proc/self/status | cut -f2; for n in ipc mnt net pid uts; do readlink /proc/self/ns/$n; done"
    mine = cli.out("exec", name, "sh", "-c", script).split("\n")
    assert mine[:4] == ["00000000a80425fb"] * 3 + ["2"]
    init = cli.out("exec", name, "sh", "-c", "for n in ipc mnt net pid uts; do readlink /proc/1/ns/$n; done").split("\n")
    assert mine[4:] == init


def test_exec_counts_in_the_containers_cgroup(cli):
    name = cli.sleeper()
    out = cli.out("exec", name, "cat", "/proc/1/cgroup", "/proc/self/cgroup").split("\n")
    half = len(out) // 2
    assert out[:half] == out[half:]


def test_exec_detached(cli):
    name = cli.sleeper()
    cli("exec", "-d", name, "touch", "/made")
    poll(lambda: cli("exec", name, "test", "-e", "/made", code=None).returncode == 0, "the file")


def test_exec_with_a_terminal(cli):
    t = Terminal(cli, "exec", "-it", cli.sleeper(), "sh")
    t.expect("/ # ")
    t.type("tty; exit 2\r")
    t.expect("/dev/pts/")
    assert t.end() == 2


@pytest.mark.parametrize(
    "program, code, says",
    [("nope", 127, "executable file not found in $PATH"), ("/nope", 127, "no such file or directory"), ("/etc/passwd", 126, "permission denied")],
)
def test_exec_of_what_cannot_be(cli, program, code, says):
    done = cli("exec", cli.sleeper(), program, code=126 if REFERENCE else code)  # 126 until Docker 23
    assert says in done.stderr + done.stdout


def test_exec_in_nothing(cli):
    assert "No such container: nope" in cli("exec", "nope", "true", code=1).stderr


def test_logs(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo l$i; done; echo e >&2")
    done = cli("logs", "c1")
    assert (done.stdout, done.stderr) == ("l1\nl2\nl3\nl4\nl5\n", "e\n")
    assert cli.out("logs", "--tail", "3", "c1").count("\n") + 1 in (2, 3)
    assert cli.out("logs", "-n", "0", "c1") == ""
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z l1", cli.out("logs", "-t", "c1"))


def test_logs_since_and_until(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "echo a; sleep 0.3; echo b")
    first, second = (line.split()[0] for line in cli.out("logs", "-t", "c1").splitlines())
    assert cli.out("logs", "--since", second, "c1") == "b"
    assert cli.out("logs", "--until", first, "c1") == "a"
    assert cli.out("logs", "--since", "10m", "c1") == "a\nb"


def test_logs_follow_ends_with_the_container(cli):
    cli.run("-d", "-i", "--name", "c1", "busybox", "sh", "-c", "echo one; read x; echo two")
    follower = cli.spawn("logs", "-f", "c1")
    assert follower.stdout.readline() == b"one\n"
    cli("attach", "c1", input="go\n")
    assert follower.communicate(timeout=20)[0] == b"two\n"


def test_log_lines_are_whole_however_long(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; printf end")
    out = cli("logs", "c1").stdout
    assert out == "x" * 100_000 + "\nend"


def test_logs_keep_every_byte_that_is_text(cli):
    text = "tab\there \\ \"quoted\" <&> ünïcödé \u2028"
    cli.run("--name", "c1", "busybox", "printf", "%s\n", text)
    assert cli("logs", "c1").stdout == text + "\n"


def test_log_rotation(cli):
    cli.run("--name", "c1", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "busybox", "sh", "-c", "for i in $(seq 1000); do echo line $i; done")
    lines = cli.out("logs", "c1").splitlines()
    assert lines[-1] == "line 1000" and 50 < len(lines) < 1000
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 1001))


def test_log_driver_none(cli):
    cli.run("--name", "c1", "--log-driver", "none", "busybox", "echo", "x")
    assert "configured logging driver does not support reading" in cli("logs", "c1", code=1).stderr


def test_stdin_closes_once(cli):
    done = cli.run("--rm", "-i", "busybox", "sh", "-c", "cat; echo after", input="a\n")
    assert done.stdout == "a\nafter\n"


def test_nobody_reading_does_not_lose_output(cli):
    running = cli.spawn("run", "--rm", "--network", "none", "busybox", "sh", "-c", "yes 0123456789abcde | head -c 8000000")
    time.sleep(0.2)  # the reader is late on purpose
    out, _ = running.communicate(timeout=30)
    assert len(out) == 8_000_000
