"""Containers with users of their own: a daemon with --userns-remap, and what Docker says of it."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

import leftovers
from conftest import REFERENCE, SKIFF, Cli, Daemon, load_images, poll, remove_containers

FIRST = 300_000
SIZE = 65536


class Remapped(Daemon):
    """A daemon that sees other /etc/passwd, group, subuid and subgid than this machine has."""

    def __init__(self, option, ranges=f"remapped:{FIRST}:{SIZE}\n"):
        super().__init__("--userns-remap", option)
        self.etc = self.base / "etc"
        self.etc.mkdir()
        for name, line in (("passwd", "remapped:x:2000:2000::/:/bin/false\n"), ("group", "remapped:x:2000:\n")):
            shutil.copy(f"/etc/{name}", self.etc / name)
            with open(self.etc / name, "a") as file:
                file.write(line)
        for name in ("subuid", "subgid"):
            (self.etc / name).write_text(ranges)

    def command(self):
        flags = ["-H", self.host, "--data-root", self.data_root, "--exec-root", self.exec_root]
        flags += ["--pidfile", self.base / "pid", *self.flags]
        # Again where the keeper is: mounts of the daemon must be its as well.
        for keeper in leftovers.processes_of(self.base)[:1]:
            return ["nsenter", "-m", "-t", str(keeper), SKIFF, "daemon", *map(str, flags)]
        binds = " && ".join(f"mount --bind {self.etc}/{name} /etc/{name}" for name in os.listdir(self.etc))
        return ["unshare", "-m", "--propagation", "slave", "sh", "-c", f'{binds} && exec "$@"', "sh", SKIFF, "daemon", *map(str, flags)]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()
        return self


@pytest.fixture(scope="module")
def daemon():
    if REFERENCE:
        pytest.skip("needs a daemon of its own")
    before = leftovers.snapshot()
    with contextlib.ExitStack() as stack:
        daemon = Remapped("remapped")
        stack.callback(daemon.destroy)
        daemon.start()
        load_images(daemon)
        yield daemon
    leftovers.assert_same(before, ours=daemon.base)


@pytest.fixture(params=["skiff", "docker"])
def cli(request, daemon):
    yield Cli(request.param, daemon)
    remove_containers(daemon)


def map_of(cli, name, which="uid_map"):
    pid = cli.inspect(name, "State.Pid")
    return pathlib.Path(f"/proc/{pid}/{which}").read_text().split()


def upper(cli, name):
    return pathlib.Path(cli.inspect(name, "GraphDriver.Data.UpperDir"))


def test_root_of_the_container_is_nobody_outside(cli):
    assert "name=userns" in json.loads(cli.out("info", "--format", "{{json .SecurityOptions}}"))
    name = cli.sleeper()
    assert cli.inspect(name, "HostConfig.UsernsMode") == ""
    for which in ("uid_map", "gid_map"):
        assert map_of(cli, name, which) == ["0", str(FIRST), str(SIZE)]
    pid = cli.inspect(name, "State.Pid")
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    assert cli.out("exec", name, "sh", "-c", "id -u; stat -c %u:%g / /bin/busybox /home/app /etc/hosts").split() == ["0"] + ["0:0"] * 4


def test_an_image_mount_needs_the_hosts_users(cli):
    mount = ["--mount", "type=image,source=busybox,target=/b"]
    assert 'mounts of type "image" are not supported with user namespaces' in cli.run(*mount, "busybox", "true", code=125).stderr
    assert cli.run("--rm", "--userns", "host", *mount, "busybox", "/b/bin/echo", "x").stdout == "x\n"


def test_files_keep_the_containers_ids_on_disk(cli):
    name = cli.sleeper()
    cli("exec", name, "sh", "-c", "echo x > /root/new; mkdir /root/dir; chown -R 1000:33 /root/dir; echo y >> /etc/passwd; rm -r /var/www")
    rw = upper(cli, name)
    assert [(rw / n).stat().st_uid for n in ("root/new", "root/dir", "etc/passwd")] == [0, 1000, 0]
    assert (rw / "root/dir").stat().st_gid == 33
    changes = set(cli.out("diff", name).splitlines())
    assert {"A /root/new", "A /root/dir", "C /etc/passwd", "D /var/www"} <= changes
    assert not any(line.startswith(("C /proc", "C /dev", "A /etc")) for line in changes)
    image = f"made-{name}"
    cli("commit", name, image)
    assert cli.run("--rm", image, "stat", "-c", "%u:%g", "/root/new", "/root/dir").stdout.split() == ["0:0", "1000:33"]
    # The same image for a container with the host's users.
    assert cli.run("--rm", "--userns", "host", image, "stat", "-c", "%u:%g", "/root/dir").stdout.split() == ["1000:33"]
    archive = tarfile.open(fileobj=io.BytesIO(cli("export", name, text=False).stdout))
    assert (archive.getmember("root/dir").uid, archive.getmember("root/dir").gid) == (1000, 33)
    cli("rmi", image)


@pytest.mark.parametrize("running", [True, False])
def test_files_are_copied_with_the_containers_ids(cli, tmp_path, running):
    name = cli.sleeper()
    cli("exec", name, "sh", "-c", "mkdir /data; echo in > /data/file; chown -R 1000:1000 /data")
    if not running:
        cli("stop", name)
    archive = tarfile.open(fileobj=io.BytesIO(cli("cp", f"{name}:/data", "-", text=False).stdout))
    assert {member.uid for member in archive.getmembers()} == {1000}
    (tmp_path / "put").mkdir()
    (tmp_path / "put/file").write_text("out")
    os.chown(tmp_path / "put/file", 33, 33)
    cli("cp", "-a", tmp_path / "put", f"{name}:/data/put")
    cli("cp", tmp_path / "put/file", f"{name}:/data/plain")
    if not running:
        cli("start", name)
    found = cli.out("exec", name, "stat", "-c", "%u:%g %n", "/data/put/file", "/data/put", "/data/plain").splitlines()
    assert found == ["33:33 /data/put/file", "0:0 /data/put", "33:33 /data/plain"]
    assert cli.out("exec", name, "cat", "/data/put/file") == "out"


def test_an_id_that_is_not_mapped_is_refused(cli, tmp_path):
    name = cli.sleeper()
    (tmp_path / "file").write_text("")
    os.chown(tmp_path / "file", 70_000, 70_000)
    assert "70000 cannot be mapped to a host ID" in cli("cp", "-a", tmp_path / "file", f"{name}:/", code=1).stderr


def test_volumes_have_the_containers_ids_and_binds_the_hosts(cli, tmp_path):
    volume = f"v-{cli.kind}"
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("host")
    script = "echo x > /v/file; chown 1000 /v/file; stat -c %u /v /v/file /b/file; echo no > /b/file"
    done = cli.run("--rm", "-v", f"{volume}:/v", "-v", f"{tmp_path}:/b", "busybox", "sh", "-c", script, code=1)
    assert done.stdout.split() == ["0", "1000", "65534"] and "denied" in done.stderr
    data = pathlib.Path(json.loads(cli.out("volume", "inspect", volume))[0]["Mountpoint"])
    assert (data / "file").stat().st_uid == 1000
    os.chown(tmp_path / "file", FIRST + 5, FIRST)
    assert cli.run("--rm", "-v", f"{tmp_path}:/b", "busybox", "stat", "-c", "%u:%g", "/b/file").stdout.strip() == "5:0"
    # An image's directory fills a volume with its own owners.
    assert cli.run("--rm", "-v", "/home/app", "busybox", "stat", "-c", "%u", "/home/app").stdout.strip() == "0"
    # A file system of its own is no file of ours.
    cli("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", f"o=uid={FIRST + 7}", f"{volume}-t")
    assert cli.run("--rm", "-v", f"{volume}-t:/v", "busybox", "stat", "-c", "%u", "/v").stdout.strip() == "7"
    cli("volume", "rm", volume, f"{volume}-t")


def test_what_the_engine_makes_belongs_to_root(cli):
    script = """set -e
    for f in hosts hostname resolv.conf; do echo '# x' >> /etc/$f; done
    for d in /dev/shm /t /dev /tmp /run; do mkdir -p $d; echo x > $d/file; done
    stat -c %u /dev/shm /t /dev/pts; echo out > /dev/stdout; echo err > /dev/stderr; echo > /dev/null; touch /sys/x 2>&1 || true"""
    done = cli.run("--rm", "--tmpfs", "/t", "busybox", "sh", "-c", script)
    assert done.stdout.split()[:4] == ["0", "0", "0", "out"] and done.stderr == "err\n"
    done = cli.run("--rm", "-u", "app", "busybox", "sh", "-c", "id -u; echo out > /dev/stdout; echo x > /tmp/x")
    assert done.stdout.split() == ["1000", "out"]


@pytest.mark.parametrize(
    "flags, expect",
    [
        (("--read-only", "--tmpfs", "/t"), "touch /t/x && ! touch /x 2>/dev/null && echo fine"),
        (("-t",), "test -t 1 && stat -c %u $(tty) && echo fine"),
        (("--init",), "echo fine"),
        (("-u", "1000:33", "--group-add", "audio"), "test \"$(id -G)\" = '33 29' && echo fine"),
        (("-w", "/made/here"), "test $(stat -c %u .) = 0 && echo fine"),
        (("--cap-drop", "ALL"), "! chown 1 /root 2>/dev/null && echo fine"),
        (("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"), "mount -t tmpfs x /mnt 2>/dev/null || mkdir /m && mount -t tmpfs x /m && echo fine"),
        (("--device", "/dev/zero:/dev/nothing"), "test $(stat -c %t:%T /dev/nothing) = 1:5 && head -c1 /dev/nothing >/dev/null && echo fine"),
        (("--ulimit", "nofile=100:200", "--oom-score-adj", "100"), "test $(ulimit -n) = 100 && test $(cat /proc/self/oom_score_adj) = 100 && echo fine"),
        (("--sysctl", "net.ipv4.ip_forward=1", "--hostname", "h1"), "test $(hostname) = h1 && cat /proc/sys/net/ipv4/ip_forward && echo fine"),
        (("--ipc", "host"), "ls /dev/mqueue /dev/shm >/dev/null && echo fine"),
        (("-m", "64m", "--cpus", "0.5", "--pids-limit", "50"), "echo fine"),
        (("--security-opt", "no-new-privileges"), "echo fine"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_options_work_in_it(cli, flags, expect):
    assert cli.run("--rm", *flags, "busybox", "sh", "-c", expect).stdout.split()[-1] == "fine"


def test_capabilities_are_dockers_default_inside(cli):
    status = cli.run("--rm", "busybox", "grep", "Cap", "/proc/self/status").stdout
    caps = dict(line.split() for line in status.splitlines())
    assert caps["CapEff:"] == caps["CapBnd:"] == "00000000a80425fb"


def test_the_life_of_a_container(cli, daemon):
    name = cli.sleeper("--health-cmd", "test $(id -u) = 0", "--health-interval", "100ms")
    poll(lambda: cli.inspect(name, "State.Health.Status") == "healthy", "health")
    cli("pause", name)
    assert cli.status(name) == "paused"
    cli("unpause", name)
    assert "sleep infinity" in cli.out("top", name)
    # Init, its program, and a health check now and then.
    assert int(cli.out("stats", "--no-stream", "--format", "{{.PIDs}}", name)) in range(2, 8)
    assert cli.out("exec", "-u", "app", name, "id", "-u") == "1000"
    assert cli.out("exec", name, "sh", "-c", "echo a > /dev/stdout; readlink /proc/self/ns/user") .splitlines() == ["a", os.readlink(f"/proc/{cli.inspect(name, 'State.Pid')}/ns/user")]
    assert cli.out("exec", "-t", name, "sh", "-c", "stat -c %u $(tty)").strip() == "0"
    cli("exec", name, "touch", "/kept")
    cli("restart", "-t", "5", name)
    assert cli.out("exec", name, "ls", "/kept") == "/kept"
    daemon.kill9()
    daemon.start()
    assert cli.status(name) == "running" and cli.out("exec", name, "id", "-u") == "0"
    cli("stop", name)
    assert cli.inspect(name, "State.ExitCode") == 143


def test_namespaces_are_shared_with_their_users(cli):
    name = cli.sleeper("--ipc", "shareable")
    user = os.readlink(f"/proc/{cli.inspect(name, 'State.Pid')}/ns/user")
    cli("exec", name, "touch", "/dev/shm/ours")
    for flags, script in (
        (("--pid", f"container:{name}"), "grep -q sleep /proc/*/comm"),
        (("--ipc", f"container:{name}"), "ls /dev/shm/ours && stat -c %u /dev/shm/ours"),
        (("--pid", f"container:{name}", "--ipc", f"container:{name}"), "true"),
    ):
        done = cli.run("--rm", *flags, "busybox", "sh", "-c", f"{script} && readlink /proc/self/ns/user && id -u && echo x > /made")
        assert done.stdout.split()[-2:] == [user, "0"], flags
    done = cli("run", "--rm", "--network", f"container:{name}", "busybox", "sh", "-c", "readlink /proc/self/ns/user; echo x >> /etc/hosts")
    assert done.stdout.split() == [user]


def test_a_container_may_have_the_hosts_users(cli):
    name = cli.sleeper("--userns", "host")
    assert cli.inspect(name, "HostConfig.UsernsMode") == "host"
    assert map_of(cli, name) == ["0", "0", "4294967295"]
    assert cli.run("--rm", "--privileged", "--userns", "host", "busybox", "id", "-u").stdout == "0\n"
    assert cli("run", "--rm", "--network", "host", "--pid", "host", "--userns", "host", "busybox", "true").returncode == 0
    says = cli.run("--rm", "--pid", f"container:{name}", "busybox", "true", code=125).stderr
    assert "it is in the host's user namespace" in says


@pytest.mark.parametrize(
    "flags, says",
    [
        (("--privileged",), "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode"),
        (("--network", "host"), "cannot share the host's network namespace when user namespaces are enabled"),
        (("--pid", "host"), "cannot share the host PID namespace when user namespaces are enabled"),
        (("--userns", "private"), "invalid USER mode"),
    ],
)
def test_what_needs_the_hosts_users_is_refused(cli, flags, says):
    assert says in cli("run", "--rm", *flags, "busybox", "true", code=125).stderr


def test_a_container_goes_on_with_the_hosts_users(daemon):
    """Ids on disk are the container's, so the option may be taken back."""
    own = Remapped("remapped")
    try:
        own.start()
        load_images(own)
        cli = Cli("docker", own)
        name = cli.sleeper("-v", "data:/data")
        cli("exec", name, "sh", "-c", "touch /mine /data/mine; chown 1000 /mine /data/mine")
        cli("stop", name)
        own.stop()
        own.flags = own.flags[:-2]
        own.start()
        cli("start", name)
        assert map_of(cli, name) == ["0", "0", "4294967295"]
        assert cli.out("exec", name, "stat", "-c", "%u", "/mine", "/data/mine").split() == ["1000", "1000"]
        cli("rm", "-f", name)
    finally:
        own.destroy()


def test_the_default_user_is_given_a_range(daemon):
    own = Remapped("default", ranges="somebody:100000:65536\n")
    try:
        own.start()
        assert (own.etc / "subuid").read_text() == (own.etc / "subgid").read_text() == "somebody:100000:65536\nskiffremap:165536:65536\n"
        load_images(own)
        assert Cli("docker", own).run("--rm", "busybox", "cat", "/proc/self/uid_map").stdout.split() == ["0", "165536", "65536"]
    finally:
        own.destroy()


@pytest.mark.parametrize(
    "option, says",
    [
        ("a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'),
        ("nosuchuser", 'Error during uid lookup for "nosuchuser"'),
        ("4242", "Uid 4242 has no entry in /etc/passwd"),
        ("remapped:nosuchgroup", 'Error during gid lookup for "nosuchgroup"'),
        ("daemon", 'no subuid ranges found for user "daemon"'),
    ],
)
def test_wrong_options_are_refused(daemon, option, says):
    own = Remapped(option)
    try:
        done = subprocess.run(own.command(), capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and says in done.stderr
    finally:
        own.destroy()
