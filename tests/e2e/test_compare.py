"""What a user who knows Docker by heart notices first: statuses, texts, silences."""

import base64
import os
import pathlib
import socket
import struct
import time

import pytest

import conftest

CGROUP_V1 = pathlib.Path("/sys/fs/cgroup/cpuset/cpuset.cpus").exists()


def test_a_missing_partner_is_a_wrong_request_and_pulls_nothing(cli):
    """A 404 of create makes Docker's client pull the image."""
    for flags in (
        ["--network", "container:nope1"],
        ["--network", "none", "--pid", "container:nope1"],
        ["--network", "none", "--ipc", "container:nope1"],
        ["--network", "none", "--volumes-from", "nope1"],
    ):
        done = cli("run", "--rm", *flags, "busybox", "true", code=125)
        assert "No such container: nope1" in done.stderr, flags
        assert "Unable to find image" not in done.stderr, flags


@pytest.mark.parametrize("flags", (["-u", "nosuch"], ["-u", "1:nosuch"], ["-u", "-1"]))
def test_an_unknown_user_is_told_without_the_runtimes_words(cli, flags):
    done = cli.run("--rm", *flags, "busybox", "true", code=125)
    line = done.stderr.splitlines()[0].removeprefix("docker: ").removeprefix("skiff: ")
    assert line in (
        "Error response from daemon: unable to find user nosuch: no matching entries in passwd file",
        "Error response from daemon: unable to find group nosuch: no matching entries in group file",
        "Error response from daemon: uids and gids must be in range 0-2147483647",
    )


def test_an_exec_as_an_unknown_user_ends_with_126(cli):
    name = cli.sleeper()
    done = cli("exec", "-u", "nosuch", name, "true", code=126)
    assert (done.stdout + done.stderr).strip() == "unable to find user nosuch: no matching entries in passwd file"


def test_removing_what_is_gone_by_force_names_nothing(cli):
    name = cli.sleeper()
    done = cli("rm", "-f", "nope1", name)
    assert done.stdout.split() == [name]
    assert "No such container: nope1" in done.stderr


def test_a_template_over_nothing_found_prints_an_empty_line(cli):
    assert cli("inspect", "-f", "{{.Name}}", "nope1", code=1).stdout == "\n"


def test_kill_says_what_it_could_not_do(cli):
    assert "annot kill container: nope1: No such container: nope1" in cli("kill", "nope1", code=1).stderr
    assert "nvalid signal: BOGUS" in cli("kill", "-s", "BOGUS", "nope1", code=1).stderr


def test_isolation_has_one_value_here(cli):
    assert "linux only supports 'default'" in cli.run("--rm", "--isolation", "hyperv", "busybox", "true", code=125).stderr
    cli.run("--rm", "--isolation", "default", "busybox", "true")


class WebSocket:
    """A client's side of RFC 6455, as small as can be."""

    KEY = base64.b64encode(bytes(range(16))).decode()

    def __init__(self, path, query, version="1.47"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(conftest.TIMEOUT_S)
        self.socket.connect(str(path))
        head = (
            f"GET /v{version}/{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {self.KEY}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline().decode().strip()
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def send(self, opcode, payload):
        mask = os.urandom(4)
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + body)

    def receive(self):
        first, length = self.file.read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self.file.read(2))
        return first & 0x0F, self.file.read(length)

    def until(self, end):
        """The data up to and with `end`, and the kinds of frames it came in."""
        data, kinds = b"", set()
        while not data.endswith(end):
            kind, payload = self.receive()
            kinds.add(kind)
            data += payload
        return data, kinds

    def close(self):
        self.file.close()
        self.socket.close()


def test_a_websocket_carries_input_output_and_the_end(docker, daemon):
    name = docker.out("create", "-i", "--network", "none", "busybox", "sh", "-c", "read a; echo got $a; read b; exit 3")
    for version, kind in (("1.47", 2), ("1.27", 1)):
        docker("start", name)
        ws = WebSocket(daemon.socket, f"containers/{name}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1", version)
        assert ws.status.startswith("HTTP/1.1 101"), ws.status
        assert ws.headers["upgrade"].lower() == "websocket"
        ws.send(9, b"there?")
        assert ws.receive() == (10, b"there?")
        ws.send(1, b"hel")
        ws.send(2, b"lo\n")
        assert ws.until(b"\n") == (b"got hello\n", {kind})
        ws.send(2, b"bye\n")
        assert ws.receive() == (8, struct.pack(">H", 1000))
        ws.send(8, struct.pack(">H", 1000))
        ws.close()
        assert docker.out("wait", name) == "3"


def test_a_websocket_gives_what_was_logged_before(docker, daemon):
    name = docker.out("run", "-d", "-i", "--network", "none", "busybox", "sh", "-c", "echo early; cat")
    conftest.poll(lambda: docker.out("logs", name) == "early", "the log")
    ws = WebSocket(daemon.socket, f"containers/{name}/attach/ws?stream=1&logs=1&stdin=1&stdout=1")
    assert ws.until(b"\n")[0] == b"early\n"
    ws.send(1, b"late\n")
    assert ws.until(b"\n")[0] == b"late\n"
    # One client's goodbye is not the container's.
    ws.send(8, struct.pack(">H", 1001))
    assert ws.receive() == (8, struct.pack(">H", 1001))
    ws.close()
    assert docker.status(name) == "running"


def test_a_websocket_client_that_talks_nonsense_is_let_go(docker, daemon):
    name = docker.sleeper("-i")
    ws = WebSocket(daemon.socket, f"containers/{name}/attach/ws?stream=1&stdin=1&stdout=1")
    ws.socket.sendall(b"\xff" * 64)
    assert ws.receive() == (8, struct.pack(">H", 1002))
    ws.close()
    assert docker.status(name) == "running"


def test_what_is_no_websocket_is_refused(docker, daemon):
    name = docker.sleeper()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(daemon.socket))
        s.sendall(f"GET /containers/{name}/attach/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = s.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"not websocket protocol\n"), answer


@pytest.mark.parametrize(
    ("key", "binding", "message"),
    (
        ("80/tcp", {"HostPort": "x"}, 'invalid port specification: "x"'),
        ("80/tcp", {"HostPort": "90-80"}, 'invalid port specification: "90-80"'),
        ("80-90/tcp", {"HostPort": "80-90"}, 'invalid port specification: "80-90"'),
        ("x/tcp", {}, 'invalid port specification: "x"'),
        ("80/foo", {}, "invalid proto: foo"),
        ("80/tcp", {"HostIp": "x"}, "invalid IP address: x"),
    ),
)
def test_what_is_no_port_is_refused_at_once(docker, daemon, key, binding, message):
    body = {"Image": "busybox", "HostConfig": {"NetworkMode": "none", "PortBindings": {key: [binding]}}}
    client = daemon.api()
    response = client.api._post_json(client.api._url("/containers/create"), body)
    client.close()
    assert (response.status_code, response.json()) == (400, {"message": message})


def test_ports_may_be_published_in_the_long_form(cli):
    name = cli.out("create", "--network", "none", "-p", "target=80,published=8080,mode=host", "busybox")
    assert cli.inspect(name, "HostConfig.PortBindings") == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    done = cli("create", "-p", "target=80,x", "busybox", code=125)
    assert "invalid publish opts format (should be name=value but got 'x')" in done.stderr


def test_processors_that_are_not_there_are_refused_in_dockers_words(cli):
    name = cli.sleeper("--memory", "20m")
    there = f"available: {pathlib.Path('/sys/fs/cgroup/cpuset/cpuset.cpus').read_text().strip()}" if CGROUP_V1 else ""
    for flags, message in (
        (["--cpuset-cpus", "8000"], f"Requested CPUs are not available - requested 8000, {there}"),
        (["--cpuset-mems", "8000"], "Requested memory nodes are not available - requested 8000, available: "),
    ):
        assert message in cli("create", *flags, "busybox", code=1).stderr
        assert message in cli("update", *flags, name, code=1).stderr
    assert cli.inspect(name, "HostConfig.CpusetCpus") == ""


def test_an_update_may_name_swap_alone(cli):
    name = cli.sleeper("--memory", "20m", "--pids-limit", "50")
    cli("update", "--memory-swap", "100m", "--pids-limit", "-1", name)
    assert cli.inspect(name, "HostConfig.MemorySwap") == 100 << 20
    assert cli.inspect(name, "HostConfig.PidsLimit") == 0
    done = cli("update", "--memory", "200m", name, code=1)
    assert f"Cannot update container {cli.inspect(name, 'Id')}: Memory limit should be smaller than" in done.stderr


def test_a_wrong_template_is_told_where_docker_tells_it(cli):
    """`ps` tries the template on nothing; the other lists only when there is a row."""
    wrong = "at <.Nope>: can't evaluate field Nope in type"
    assert wrong in cli("ps", "-a", "--filter", "name=none-of-this", "--format", "{{.Nope}}", code=1).stderr
    assert cli.out("images", "--filter", "reference=none-of-this", "--format", "{{.Nope}}") == ""
    done = cli("images", "--format", "{{.Nope}}", code=1)
    assert done.stderr.startswith("template parsing error: ") and wrong in done.stderr
    assert cli("info", "--format", "{{.Nope}}", code=1).stdout == "\n"
    assert "*formatter.diskUsageImagesContext" in cli("system", "df", "--format", "{{.Nope}}", code=1).stderr
    assert cli("images", "--format", "{{.ID}", code=1).stderr.endswith(": bad character U+007D '}'\n")


def test_a_working_directory_that_is_a_file_is_told_as_docker_does(cli):
    done = cli.run("--rm", "-w", "/etc/passwd", "busybox", "true", code=125)
    assert "Error response from daemon: Cannot mkdir: /etc/passwd is not a directory\n" in done.stderr


def test_a_tmpfs_where_nothing_was_is_open_to_all(cli):
    """And one over a directory has that directory's mode."""
    script = "stat -c %a /x /home/app; grep ' /x ' /proc/mounts"
    flags = ["--tmpfs", "/x", "--tmpfs", "/home/app:size=1m"]
    modes = cli.out("run", "--rm", "--network", "none", *flags, "busybox", "sh", "-c", script).splitlines()
    assert modes == ["1777", "755", "tmpfs /x tmpfs rw,nosuid,nodev,noexec,relatime 0 0"]
    for flag, message in (
        ("/x:ro,bogus", 'invalid tmpfs option ["bogus"]'),
        ("/x:bogus=1", 'invalid tmpfs option ["bogus" "1"]'),
        ("x", "daemon: invalid mount path: 'x' mount path must be absolute"),
        ("/", "daemon: invalid specification: destination can't be '/'"),
    ):
        assert message in cli.run("--tmpfs", flag, "busybox", "true", code=125).stderr


def test_a_client_that_never_closes_does_not_delay_a_restart(docker, daemon):
    name = docker.sleeper("-i")
    client = daemon.api()
    attached = client.api.attach_socket(name, params={"stdin": 1, "stdout": 1, "stream": 1})
    begun = time.monotonic()
    docker("restart", name)
    assert time.monotonic() - begun < 1.5
    attached.close()
    client.close()
