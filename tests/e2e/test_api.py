"""Bad and odd requests straight over HTTP: Docker's status codes and words."""

import http.client
import json
import socket
import subprocess
import threading

import pytest

from conftest import DOCKER, REFERENCE, SKIFF


class Http(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@pytest.fixture
def call(daemon, api):
    def call(method, path, body=None, headers=None, raw=None):
        http_ = Http(daemon.socket)
        if body is not None or raw is not None:
            raw = json.dumps(body).encode() if raw is None else raw
            headers = {"Content-Type": "application/json", **(headers or {})}
        http_.request(method, path, body=raw, headers=headers or {})
        answer = http_.getresponse()
        data = answer.read()
        http_.close()
        try:
            data = json.loads(data)
        except ValueError:
            data = data.decode(errors="replace")
        return answer.status, data

    return call


def create(call, **config):
    return call("POST", "/v1.40/containers/create", {"Image": "busybox", "HostConfig": {"NetworkMode": "none"}, **config})


def message(answer):
    return answer[1]["message"] if isinstance(answer[1], dict) else answer[1]


def test_ping(daemon):
    http_ = Http(daemon.socket)
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        http_.request(method, "/_ping")
        answer = http_.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        assert answer.headers["Api-Version"] and answer.headers["Ostype"] == "linux"


def test_unknown_paths_and_methods_are_404(call):
    for method, path in (("GET", "/nope"), ("DELETE", "/_ping"), ("GET", "/v1.40/containers"), ("GET", "/vabc/info")):
        status, data = call(method, path)
        assert (status, data) == (404, {"message": "page not found"})


def test_versions_out_of_range(call):
    status, data = call("GET", "/v9.99/info")
    assert status == 400 and "client version 9.99 is too new. Maximum supported API version is" in data["message"]
    status, data = call("GET", "/v1.1/info")
    assert status == 400 and "client version 1.1 is too old. Minimum supported API version is" in str(data)


@pytest.mark.parametrize("version", ["", "/v1.24", "/v1.30", "/v1.40", "/v1.41"] + ([] if REFERENCE else ["/v1.44", "/v1.48", "/v1.52", "/v1.56"]))
def test_every_version_lists_and_inspects(call, version):
    status, data = create(call)
    assert status == 201
    status, listed = call("GET", f"{version}/containers/json?all=1")
    assert status == 200 and listed[0]["Id"] == data["Id"]
    status, inspected = call("GET", f"{version}/containers/{data['Id']}/json")
    assert status == 200 and inspected["State"]["Status"] == "created"


@pytest.mark.skipif(bool(REFERENCE), reason="the words of Docker 29")
@pytest.mark.parametrize(
    "raw, says",
    [
        (b"", "invalid JSON: EOF"),
        (b"{", "unexpected EOF"),
        (b"[]", "json: cannot unmarshal array into Go value of type"),
        (b'"x"', "json: cannot unmarshal string into Go value of type"),
        (b"null", "config cannot be empty in order to create a container"),
        (b'{"Image": 5}', "json: cannot unmarshal number into Go struct field"),
        (b'{"Image":"busybox"} x', "unexpected content after JSON"),
        (b'{"Image":"busybox","Cmd":5}', "cannot unmarshal"),
    ],
)
def test_bad_json(call, raw, says):
    status, data = call("POST", "/containers/create", raw=raw)
    assert status == 400 and says in data["message"], data


@pytest.mark.skipif(bool(REFERENCE), reason="the words of Docker 29")
def test_content_type_must_be_json(call):
    status, data = call("POST", "/containers/create", raw=b"{}", headers={"Content-Type": "text/plain"})
    assert (status, data["message"]) == (400, "unsupported Content-Type header (text/plain): must be 'application/json'")


def test_field_names_in_any_case_and_unknown_fields(call):
    status, data = call("POST", "/containers/create", {"image": "busybox", "CMD": ["x"], "Nope": 1, "hostconfig": {"networkmode": "none"}})
    assert status == 201
    assert call("GET", f"/containers/{data['Id']}/json")[1]["Config"]["Cmd"] == ["x"]


def test_missing_image_is_404(call):
    status, data = create(call, Image="nope")
    assert status == 404 and "No such image: nope:latest" in data["message"]


@pytest.mark.parametrize(
    "method, path, status, says",
    [
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("POST", "/containers/nope/start", 404, "No such container: nope"),
        ("DELETE", "/containers/nope", 404, "No such container: nope"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("DELETE", "/images/nope", 404, "No such image: nope:latest"),
        ("GET", "/exec/nope/json", 404, "No such exec instance: nope"),
        ("GET", "/containers/json?filters=%7B", 400, "invalid filter"),
        ("GET", "/containers/json?limit=abc", 400, "abc"),
    ],
)
def test_bad_requests(call, method, path, status, says):
    answer = call(method, path)
    if REFERENCE and status == 400:
        return  # 20.10 answers some of these otherwise
    assert answer[0] == status and says in message(answer), answer


def test_logs_need_a_stream(call):
    _, data = create(call)
    status, answer = call("GET", f"/containers/{data['Id']}/logs")
    assert status == 400 and "must choose at least one stream" in answer["message"] or "must specify at least one of" in answer["message"]


def test_kill_bad_signal(call):
    _, data = create(call, Cmd=["sleep", "infinity"])
    call("POST", f"/containers/{data['Id']}/start")
    status, answer = call("POST", f"/containers/{data['Id']}/kill?signal=NOPE")
    assert status == 400 and "nvalid signal: NOPE" in answer["message"]


def test_start_twice_is_304(call):
    _, data = create(call, Cmd=["sleep", "infinity"])
    assert call("POST", f"/containers/{data['Id']}/start")[0] == 204
    assert call("POST", f"/containers/{data['Id']}/start")[0] == 304
    assert call("POST", f"/containers/{data['Id']}/stop?t=0")[0] == 204
    assert call("POST", f"/containers/{data['Id']}/stop?t=0")[0] == 304


def test_exec_needs_a_command(call):
    _, data = create(call, Cmd=["sleep", "infinity"])
    call("POST", f"/containers/{data['Id']}/start")
    status, answer = call("POST", f"/containers/{data['Id']}/exec", {})
    assert status == 400 and answer["message"] == "No exec command specified"


def test_garbage_does_not_harm(daemon, call):
    for bytes_ in (b"\x00\xff garbage\r\n\r\n", b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /_ping HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(daemon.socket))
            s.sendall(bytes_)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    assert call("GET", "/_ping")[0] == 200


def test_a_huge_body_is_refused(call):
    if REFERENCE:
        pytest.skip("20.10 takes it")
    status, data = call("POST", "/containers/create", raw=b'{"Image":"' + b"x" * (5 << 20) + b'"}')
    assert status in (400, 413)


def test_two_requests_in_one(call, daemon, api):
    """What our command line asks of a daemon of ours (shortcut.rs); without an upgrade it is ignored."""
    if REFERENCE:
        pytest.skip("not Docker's")
    config = {"Image": "busybox", "Cmd": ["cat"], "HostConfig": {"NetworkMode": "none"}}
    status, made = call("POST", "/containers/create?attach=1", config)
    assert (status, list(made)) == (201, ["Id", "Warnings"])
    answer = {}
    waiter = threading.Thread(target=lambda: answer.update(got=call("POST", f"/containers/{made['Id']}/wait?condition=next-exit&start=1")))
    waiter.start()
    waiter.join(30)
    assert answer["got"] == (200, {"StatusCode": 0})
    status, failed = call("POST", "/containers/create", {**config, "Cmd": ["nope"]})
    status, failed = call("POST", f"/containers/{failed['Id']}/wait?start=1")
    assert status == 400 and "executable file not found" in failed["message"]
    assert call("POST", "/containers/nope/wait?start=1")[0] == 404
    sleeper = api.containers.run("busybox", ["sleep", "infinity"], detach=True, init=True, network_mode="none")
    status, made = call("POST", f"/containers/{sleeper.id}/exec?start=1", {"Cmd": ["sh", "-c", "exit 4"]})
    assert (status, list(made)) == (201, ["Id"])
    assert call("POST", f"/exec/{made['Id']}/start", {"Detach": True})[0] == 200
    status, ended = call("GET", f"/exec/{made['Id']}/json?wait=1")
    assert (status, ended["Running"], ended["ExitCode"]) == (200, False, 4)
    assert call("GET", "/exec/nope/json?wait=1")[0] == 404


def test_three_requests_in_one(call, daemon):
    """A creation that also attaches and starts; the wait is asked for afterwards, however late."""
    if REFERENCE:
        pytest.skip("not Docker's")
    config = {"Image": "busybox", "Cmd": ["sh", "-c", "echo out; exit 3"], "HostConfig": {"NetworkMode": "none", "AutoRemove": True}}

    def begin(config, condition):
        http_ = Http(daemon.socket)
        headers = {"Content-Type": "application/json", "Connection": "Upgrade", "Upgrade": "tcp"}
        http_.request("POST", f"/containers/create?attach=1&stream=1&stdout=1&start={condition}", body=json.dumps(config), headers=headers)
        answer = http_.getresponse()
        return answer, http_

    answer, http_ = begin(config, "removed")
    assert (answer.status, answer.reason) == (101, "UPGRADED")
    id_ = answer.headers["Skiff-Id"]
    got = http_.sock.recv(100)
    while piece := http_.sock.recv(100):
        got += piece
    assert got == b"\x01\0\0\0\0\0\0\x04out\n"
    # It is gone, and its exit code is still there: once.
    assert call("POST", f"/containers/{id_}/wait?condition=removed&start=1") == (200, {"StatusCode": 3})
    assert call("POST", f"/containers/{id_}/wait?condition=removed&start=1")[0] == 404
    http_.close()

    answer, http_ = begin({**config, "Cmd": ["nope"]}, "next-exit")
    status, failed = call("POST", f"/containers/{answer.headers['Skiff-Id']}/wait?start=1")
    assert status == 400 and "executable file not found" in failed["message"]
    http_.close()
    answer, http_ = begin(config, "sometime")
    assert answer.status == 400
    http_.close()


def test_a_long_list_is_whole_for_everybody(own_daemon):
    """More than a hundred containers are sent while they are written."""
    client = own_daemon.api()
    ids = [client.api.create_container("busybox", ["true"])["Id"] for _ in range(130)]
    ids.reverse()
    assert [c["Id"] for c in client.api.containers(all=True)] == ids
    assert [c["Id"] for c in client.api.containers(all=True, size=True)] == ids
    for binary in (SKIFF, DOCKER):
        done = subprocess.run([binary, "-H", own_daemon.host, "ps", "-aq", "--no-trunc"], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ids
    client.close()
