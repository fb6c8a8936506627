"""dockerd's flags and daemon.json, valid and not: what is refused, reloaded, listened on."""

import json
import os
import signal
import socket
import subprocess

import pytest

from conftest import DOCKER, REFERENCE, SKIFF, Cli, Daemon, load_images, poll, remove_containers

pytestmark = pytest.mark.skipif(bool(REFERENCE), reason="needs daemons of its own")


def refused(tmp_path, *flags, config=None):
    command = [SKIFF, "daemon", "-H", f"unix://{tmp_path}/s", "--data-root", tmp_path / "d", "--exec-root", tmp_path / "x"]
    if config is not None:
        (tmp_path / "c.json").write_text(config if isinstance(config, str) else json.dumps(config))
        command += ["--config-file", tmp_path / "c.json"]
    done = subprocess.run([*map(str, command), *map(str, flags)], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and not (tmp_path / "d").exists(), done
    return done.stderr


@pytest.mark.parametrize(
    "config, says",
    [
        ({"labels": ["a=1", "a=2"]}, "conflict labels for a=2 and a=1"),
        ({"storage-driver": "btrfs"}, "error initializing graphdriver: driver not supported"),
        ({"default-runtime": "nope"}, "specified default runtime 'nope' does not exist"),
        ({"runtimes": {"runc": {"path": "/x"}}}, "runtime name 'runc' is reserved"),
        ({"max-concurrent-downloads": -1}, "invalid max concurrent downloads: -1"),
        ({"max-download-attempts": 0}, "invalid max download attempts: 0"),
        ({"dns": ["1.2.3"]}, "1.2.3 is not an ip address"),
        ({"dns-search": ["-bad-"]}, "-bad- is not a valid domain"),
        ({"default-ipc-mode": "host"}, 'IPC mode "host" is not supported as default value; use "shareable" or "private"'),
        ({"default-cgroupns-mode": "x"}, 'default cgroup namespace mode (x) is invalid; use "host" or "private"'),
        ({"registry-mirrors": ["ftp://x"]}, 'invalid mirror: unsupported scheme "ftp" in "ftp://x"'),
        ({"exec-opts": ["native.cgroupdriver=x"]}, "native.cgroupdriver option x not supported"),
        ({"default-shm-size": "x"}, "invalid size: 'x'"),
        ({"hosts": ["unix:///y"]}, "specified both as a flag and in the configuration file: hosts"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_values_are_refused_as_by_dockerd(tmp_path, config, says):
    assert says in refused(tmp_path, config=config)


@pytest.mark.parametrize(
    "flags, says",
    [
        (("--default-ulimit", "nope=1"), "invalid ulimit type: nope"),
        (("--group", "nosuchgroup"), "group nosuchgroup not found"),
        (("--debug=maybe",), 'invalid argument "maybe" for "-D, --debug" flag'),
        (("--log-level", "loud"), "invalid logging level: loud"),
    ],
)
def test_wrong_flags_are_refused(tmp_path, flags, says):
    assert says in refused(tmp_path, *flags)


def test_flags_of_parts_that_are_not_there_are_taken(tmp_path):
    flags = ["--icc=false", "--iptables=false", "--bridge=none", "--init-path", "/x", "--storage-driver", "overlay2", "--mtu", "1400"]
    flags += ["--registry-mirror", "https://mirror.example", "--live-restore", "--shutdown-timeout", "5", "--default-ulimit", "nofile=10:20"]
    done = subprocess.run([SKIFF, "daemon", "--validate", *flags], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "configuration OK\n")


@pytest.fixture
def configured(request):
    daemon = Daemon(*getattr(request, "param", ()))
    config = daemon.base / "daemon.json"
    config.write_text("{}")
    daemon.flags += ["--config-file", config]
    daemon.config = config
    try:
        yield daemon
    finally:
        daemon.destroy()


def test_a_hangup_reloads_labels_and_debug(configured):
    daemon = configured.start()
    cli = Cli("docker", daemon)
    assert cli.out("info", "--format", "{{.Debug}} {{json .Labels}}") == "false []"
    daemon.config.write_text('{"debug": true, "labels": ["a=b"]}')
    daemon.process.send_signal(signal.SIGHUP)
    poll(lambda: cli.out("info", "--format", "{{.Debug}} {{json .Labels}}") == 'true ["a=b"]', "the new settings")
    daemon.config.write_text('{"nope": 1}')
    daemon.process.send_signal(signal.SIGHUP)
    poll(lambda: "don't match any configuration option: nope" in daemon.log.read_text(), "the refusal in the log")
    assert cli.out("info", "--format", "{{.Debug}}") == "true"


def test_a_hangup_reloads_who_runs_containers(configured):
    daemon = configured.start()
    load_images(daemon)
    cli = Cli("docker", daemon)
    known = "{{.DefaultRuntime}} {{index .Runtimes \"other\"}}"

    def becomes(config, expected):
        daemon.config.write_text(json.dumps(config))
        daemon.process.send_signal(signal.SIGHUP)
        poll(lambda: cli.out("info", "--format", known).split()[0] == expected, "the new settings")

    assert "unknown or invalid runtime name: other" in cli.run("--runtime", "other", "busybox", "true", code=125).stderr
    becomes({"runtimes": {"other": {"path": "/none/runc"}}, "default-runtime": "other"}, "other")
    done = cli.run("--rm", "busybox", "true", code=None)
    assert done.returncode != 0 and "/none/runc" in done.stderr
    assert cli.run("--rm", "--runtime", "runc", "busybox", "echo", "ours").stdout == "ours\n"
    name = cli.out("create", "--network", "none", "busybox", "true")
    becomes({}, "skiff")
    assert "unknown or invalid runtime name: other" in cli("start", name, code=1).stderr
    assert cli.run("--rm", "busybox", "echo", "ours").stdout == "ours\n"
    remove_containers(daemon)


def test_a_second_daemon_with_the_same_pidfile_is_refused(configured, tmp_path):
    daemon = configured.start()
    poll((daemon.base / "pid").exists, "the pid file")
    says = refused(tmp_path, "--pidfile", daemon.base / "pid")
    assert f"process with PID {daemon.process.pid} is still running" in says
    assert (daemon.base / "pid").read_text() == str(daemon.process.pid)


def test_a_pidfile_that_a_crash_left_does_not_matter(configured):
    (configured.base / "pid").write_text("1")
    configured.start()


def test_a_socket_of_systemd_is_served(configured):
    """As systemd does it: the descriptor 3, LISTEN_FDS, LISTEN_PID."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(configured.socket))
    listener.listen()
    base = configured.base
    command = [SKIFF, "daemon", "-H", "fd://", "--data-root", base / "d", "--exec-root", base / "x", "--pidfile", base / "pid", *configured.flags]
    script = 'fd=$1; shift; eval "exec 3<&$fd"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
    with open(configured.log, "ab") as log:
        configured.process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(listener.fileno()), *map(str, command)], stdout=log, stderr=log, pass_fds=[listener.fileno()]
        )
    listener.close()
    configured.wait_ready()
    assert Cli("docker", configured).out("version", "--format", "{{.Server.Os}}") == "linux"


def certificates(path):
    def run(*args):
        subprocess.run(["openssl", *map(str, args)], cwd=path, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"), ("client", "extendedKeyUsage=clientAuth")):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (path / "ext").write_text(extension)
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-out", f"{name}-cert.pem", "-days", "2", "-extfile", "ext")
    client = path / "client"
    client.mkdir()
    for source, target in (("ca.pem", "ca.pem"), ("client-cert.pem", "cert.pem"), ("client-key.pem", "key.pem")):
        (client / target).write_bytes((path / source).read_bytes())
    return client


@pytest.mark.parametrize("binary", [DOCKER, SKIFF], ids=["docker", "skiff"])
def test_clients_prove_who_they_are_with_certificates(configured, tmp_path, binary):
    client = certificates(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configured.flags += ["-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", tmp_path / "ca.pem"]
    configured.flags += ["--tlscert", tmp_path / "server-cert.pem", "--tlskey", tmp_path / "server-key.pem"]
    configured.start()

    def version(**env):
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "DOCKER_HOST": f"tcp://127.0.0.1:{port}", **env}
        return subprocess.run([binary, "version", "--format", "{{.Server.Os}}"], env=env, capture_output=True, text=True, timeout=20)

    assert version(DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(client)).stdout == "linux\n"
    assert version().returncode != 0
    # A certificate that another authority signed.
    (tmp_path / "other").mkdir()
    stranger = certificates(tmp_path / "other")
    (stranger / "ca.pem").write_bytes((client / "ca.pem").read_bytes())
    done = version(DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(stranger))
    assert done.returncode != 0 and "linux" not in done.stdout
