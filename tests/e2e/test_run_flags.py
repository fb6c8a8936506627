"""What each flag of `run` does inside the container, and what wrong values are told."""

import json
import os
import pathlib

import pytest

from conftest import REFERENCE, poll


def sh(cli, *flags, script, code=0, image="busybox"):
    return cli.run("--rm", *flags, image, "sh", "-c", script, code=code).stdout.rstrip("\n")


def test_output_streams_are_kept_apart(cli):
    done = cli.run("--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_input_is_passed_with_i(cli):
    assert cli.run("--rm", "-i", "busybox", "cat", input="hello\nthere").stdout == "hello\nthere"


def test_without_i_input_is_empty(cli):
    assert cli.run("--rm", "busybox", "cat", input="hello").stdout == ""


def test_large_output_arrives_whole(cli):
    done = cli.run("--rm", "busybox", "sh", "-c", "yes 0123456789abcde | head -c 20000000")
    assert len(done.stdout) == 20_000_000


def test_detach_prints_the_id(cli):
    full = cli.run("-d", "--name", "c1", "busybox", "sleep", "infinity").stdout.strip()
    assert len(full) == 64 and cli.inspect("c1", "Id") == full
    cli("rm", "-f", full[:6])


def test_entrypoint_and_command(cli):
    assert cli.run("--rm", "--entrypoint", "echo", "busybox", "a", "b").stdout == "a b\n"
    assert cli.run("--rm", "--entrypoint", "", "busybox", "echo", "x").stdout == "x\n"


def test_environment(cli, tmp_path):
    (tmp_path / "env").write_text("# comment\nFROM_FILE=1\nFROM_HOST\n")
    cli.env["FROM_HOST"] = "here"
    env = sh(cli, "-e", "A=b c", "--env-file", tmp_path / "env", "-e", "GONE_FROM_HOST", script="env").splitlines()
    assert {"A=b c", "FROM_FILE=1", "FROM_HOST=here", "HOME=/root"} <= set(env)
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in env
    assert not [e for e in env if e.startswith("GONE_FROM_HOST")]


def test_the_hostname_is_the_short_id_and_can_be_set(cli):
    cli.run("--name", "c1", "busybox", "hostname")
    assert cli.out("logs", "c1") == cli.inspect("c1", "Id")[:12]
    assert sh(cli, "--hostname", "box", script="hostname; cat /etc/hostname; grep -c box /etc/hosts || true").split()[:2] == ["box", "box"]


def test_workdir_is_made(cli):
    assert sh(cli, "-w", "/new/dir", script="pwd") == "/new/dir"


def test_workdir_must_be_absolute(cli):
    done = cli.run("-w", "rel", "busybox", "true", code=125)
    assert "needs to be an absolute path" in done.stderr


@pytest.mark.parametrize(
    "user, expected",
    [
        ("", "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
        ("app", "uid=1000(app) gid=1000(app) groups=10(wheel),29(audio),1000(app)"),
        ("1000", "uid=1000(app) gid=1000(app) groups=10(wheel),29(audio),1000(app)"),
        ("app:audio", "uid=1000(app) gid=29(audio) groups=29(audio)"),
        ("1000:7", "uid=1000(app) gid=7 groups=7"),
        ("4242", "uid=4242 gid=0(root) groups=0(root)"),
        ("4242:4343", "uid=4242 gid=4343 groups=4343"),
    ],
)
def test_user(cli, user, expected):
    assert sh(cli, "--user", user, script="id") == expected


def test_group_add(cli):
    out = sh(cli, "--user", "4242", "--group-add", "audio", "--group-add", "777", script="id -G")
    assert set(out.split()) == {"0", "29", "777"}


@pytest.mark.parametrize("user, says", [("nope", "unable to find user nope"), ("root:nope", "unable to find group nope")])
def test_unknown_users_are_refused(cli, user, says):
    done = cli.run("--rm", "--user", user, "busybox", "true", code=125 if user else 0)
    assert says in done.stderr


def test_read_only_root(cli):
    done = cli.run("--rm", "--read-only", "busybox", "touch", "/x", code=1)
    assert "Read-only file system" in done.stderr


def test_tmpfs(cli):
    out = sh(cli, "--tmpfs", "/t:size=1m,mode=700", script="grep ' /t ' /proc/mounts; stat -c %a /t")
    assert "tmpfs" in out and "size=1024k" in out and out.endswith("700")
    assert "noexec" in out and "nosuid" in out and "nodev" in out


def test_bind_mounts(cli, tmp_path):
    (tmp_path / "f").write_text("host")
    assert sh(cli, "-v", f"{tmp_path}:/v", script="cat /v/f; echo box > /v/g") == "host"
    assert (tmp_path / "g").read_text() == "box\n"
    done = cli.run("--rm", "-v", f"{tmp_path}:/v:ro", "busybox", "touch", "/v/x", code=1)
    assert "Read-only file system" in done.stderr
    mount = f"type=bind,source={tmp_path}/f,target=/one,readonly"
    assert sh(cli, "--mount", mount, script="cat /one") == "host"


def test_volume_creates_a_missing_host_directory_but_mount_does_not(cli, tmp_path):
    sh(cli, "-v", f"{tmp_path}/made:/v", script="true")
    assert (tmp_path / "made").is_dir()
    done = cli.run("--mount", f"type=bind,src={tmp_path}/nope,dst=/v", "busybox", "true", code=125)
    assert "bind source path does not exist" in done.stderr


def test_bind_propagation(cli, tmp_path):
    out = sh(cli, "--mount", f"type=bind,src={tmp_path},dst=/v,bind-propagation=private", script="grep ' /v ' /proc/self/mountinfo")
    assert "shared:" not in out and "master:" not in out


def test_default_capabilities(cli):
    assert sh(cli, script="grep Cap /proc/self/status | tr -d '\\t'").splitlines() == [
        "CapInh:0000000000000000",
        "CapPrm:00000000a80425fb",
        "CapEff:00000000a80425fb",
        "CapBnd:00000000a80425fb",
        "CapAmb:0000000000000000",
    ]


def test_capabilities_of_another_user_are_empty(cli):
    assert sh(cli, "-u", "app", script="grep -E 'CapPrm|CapEff' /proc/self/status | cut -f2") == "0000000000000000\n0000000000000000"


def test_capabilities_added_and_dropped(cli):
    out = sh(cli, "--cap-drop", "ALL", "--cap-add", "net_admin", "--cap-add", "CAP_CHOWN", script="grep CapEff /proc/self/status | cut -f2")
    assert int(out, 16) == 1 << 12 | 1 << 0


def test_unknown_capability_is_refused(cli):
    done = cli.run("--cap-add", "nope", "busybox", "true", code=125)
    assert "CAP_NOPE" in done.stderr or "NOPE" in done.stderr


@pytest.mark.skipif(bool(REFERENCE), reason="runc 1.1 insists on CAP_SYS_RESOURCE, which this kind of machine lacks")
def test_privileged(cli):
    out = sh(cli, "--privileged", script="grep CapEff /proc/self/status | cut -f2; ls /dev | wc -l; grep Seccomp: /proc/self/status | cut -f2; touch /sys/x 2>&1 | grep -c 'Read-only' || true")
    caps, devices, seccomp, _ = out.split("\n", 3)
    assert int(caps, 16) & (1 << 21) and int(devices) > 20 and seccomp == "0"


def test_masked_and_read_only_paths(cli):
    out = sh(cli, script="cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware /proc/scsi 2>/dev/null | grep -vc : || true")
    assert out.split() == ["0", "0"]
    done = cli.run("--rm", "busybox", "sh", "-c", "echo b > /proc/sys/kernel/domainname", code=1)
    assert "Read-only file system" in done.stderr


def test_system_paths_unconfined(cli):
    assert sh(cli, "--security-opt", "systempaths=unconfined", script="grep -c ' /proc/' /proc/mounts || true") == "0"


def test_seccomp_is_on_and_can_be_off(cli):
    assert sh(cli, script="grep Seccomp: /proc/self/status | cut -f2") == "2"
    assert sh(cli, "--security-opt", "seccomp=unconfined", script="grep Seccomp: /proc/self/status | cut -f2") == "0"


def test_custom_seccomp_profile(cli, tmp_path):
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    (tmp_path / "p.json").write_text(json.dumps(profile))
    done = cli.run("--rm", "--security-opt", f"seccomp={tmp_path}/p.json", "busybox", "mkdir", "/x", code=1)
    assert "Function not implemented" in done.stderr


def test_no_new_privileges(cli):
    assert sh(cli, "--security-opt", "no-new-privileges", script="grep NoNewPrivs /proc/self/status | cut -f2") == "1"
    assert sh(cli, script="grep NoNewPrivs /proc/self/status | cut -f2") == "0"


def test_unknown_security_option_is_refused(cli):
    done = cli.run("--security-opt", "nope=1", "busybox", "true", code=125)
    assert "nope" in done.stderr


def test_default_devices(cli):
    out = sh(cli, script="cd /dev && for d in null zero full random urandom tty; do test -c $d && echo $d; done; readlink fd; readlink ptmx")
    assert out.split() == ["null", "zero", "full", "random", "urandom", "tty", "/proc/self/fd", "pts/ptmx"]


def test_device(cli):
    assert sh(cli, "--device", "/dev/null:/dev/mine:rw", script="test -c /dev/mine && echo yes") == "yes"
    done = cli.run("--device", "/dev/nope", "busybox", "true", code=None)
    assert done.returncode in (125, 126, 127) and "/dev/nope" in done.stderr


def test_ulimit(cli):
    assert sh(cli, "--ulimit", "nofile=123:456", script="ulimit -n; ulimit -Hn") == "123\n456"


def test_sysctl(cli):
    assert sh(cli, "--sysctl", "net.ipv4.ip_forward=1", script="cat /proc/sys/net/ipv4/ip_forward") == "1"
    cli.run("--rm", "--sysctl", "kernel.core_pattern=x", "busybox", "true", code=None).returncode != 0


def test_shm_size(cli):
    assert "size=65536k" in sh(cli, script="grep /dev/shm /proc/mounts")
    assert "size=2048k" in sh(cli, "--shm-size", "2m", script="grep /dev/shm /proc/mounts")


def test_process_one_is_the_program_and_with_init_it_is_not(cli):
    assert sh(cli, script="cat /proc/1/comm; true") == "sh"
    assert sh(cli, "--init", script="cat /proc/1/comm; true") != "sh"


def test_init_reaps_orphans(cli):
    out = sh(cli, "--init", script="(sleep 0.05 &) ; sleep 0.2; ps | grep -c '[Z]' || true; ps -o stat,comm | grep -c Z || true")
    assert out.split()[-1] == "0"


def namespaces(cli, *flags):
    out = sh(cli, *flags, script="cd /proc/self/ns && for n in cgroup ipc mnt net pid uts; do readlink $n; done")
    return dict(line.split(":", 1) for line in out.splitlines())


HOST = {n: os.readlink(f"/proc/self/ns/{n}").split(":", 1)[1] for n in ("cgroup", "ipc", "mnt", "net", "pid", "uts")}


def test_every_namespace_is_new(cli):
    inside = namespaces(cli)
    assert [n for n in ("ipc", "mnt", "net", "pid", "uts") if inside[n] == HOST[n]] == []


@pytest.mark.parametrize("flag, name", [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")])
def test_host_namespaces(cli, flag, name):
    out = cli("run", "--rm", *([] if flag == "--network" else ["--network", "none"]), flag, "host", "busybox", "readlink", f"/proc/self/ns/{name}")
    assert out.stdout.strip().split(":", 1)[1] == HOST[name]


def test_cgroup_namespace_private_and_host(cli):
    assert namespaces(cli, "--cgroupns", "private")["cgroup"] != HOST["cgroup"]
    assert namespaces(cli, "--cgroupns", "host")["cgroup"] == HOST["cgroup"]


@pytest.mark.parametrize("flag, name", [("--pid", "pid"), ("--ipc", "ipc"), ("--network", "net")])
def test_namespaces_of_another_container(cli, flag, name):
    other = cli.sleeper("--ipc", "shareable")
    network = [] if flag == "--network" else ["--network", "none"]
    out = cli("run", "--rm", *network, flag, f"container:{other}", "busybox", "readlink", f"/proc/self/ns/{name}").stdout
    assert out == cli("exec", other, "readlink", f"/proc/self/ns/{name}").stdout


def test_network_none_has_only_a_loopback_that_works(cli):
    assert sh(cli, script="ls /sys/class/net; ping -c1 127.0.0.1 > /dev/null && echo up").split() == ["lo", "up"]


def cgroup_value(cli, v1, v2, *flags):
    """A limit as the container's own control group has it."""
    name = cli.sleeper(*flags)
    pid = cli.inspect(name, "State.Pid")
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        wanted = v1.split("/")[0]
        if wanted in controllers.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/{wanted}{path}/{v1.split('/')[1]}").read_text().strip()
    return pathlib.Path(f"/sys/fs/cgroup{path}/{v2}").read_text().strip()


@pytest.mark.parametrize(
    "v1, v2, flags, values",
    [
        ("memory/memory.limit_in_bytes", "memory.max", ["--memory", "64m"], {str(64 << 20)}),
        ("memory/memory.soft_limit_in_bytes", "memory.low", ["--memory-reservation", "32m"], {str(32 << 20)}),
        ("cpu/cpu.cfs_quota_us", "cpu.max", ["--cpus", "0.5"], {"50000", "50000 100000"}),
        ("cpu/cpu.shares", "cpu.weight", ["--cpu-shares", "512"], {"512", "20", "59"}),
        ("cpuset/cpuset.cpus", "cpuset.cpus", ["--cpuset-cpus", "1"], {"1"}),
        ("pids/pids.max", "pids.max", ["--pids-limit", "77"], {"77"}),
    ],
)
def test_limits(cli, v1, v2, flags, values):
    assert cgroup_value(cli, v1, v2, *flags) in values


def test_out_of_memory_is_noticed(cli):
    cli.run("--name", "c1", "--memory", "8m", "--memory-swap", "8m", "busybox", "sh", "-c", "head -c 64m /dev/zero | tail > /dev/null; sleep 0.1; exit 9", code=None)
    assert cli.inspect("c1", "State.OOMKilled") is True


def test_fork_bomb_stops_at_the_limit(cli):
    done = cli.run("--rm", "--pids-limit", "10", "busybox", "sh", "-c", "for i in $(seq 30); do sleep 1 & done; wait", code=None)
    assert "can't fork" in done.stderr


def test_oom_score_adj(cli):
    assert sh(cli, "--oom-score-adj", "300", script="cat /proc/self/oom_score_adj") == "300"


def test_nothing_of_the_host_is_open_inside(cli):
    assert sh(cli, script="ls /proc/self/fd").split()[:3] == ["0", "1", "2"]
    assert sh(cli, script="ls -l /proc/1/fd | grep -v -E 'pipe|null|/dev/pts|total' | wc -l") == "0"


def test_workdir_through_proc_is_refused(cli):
    for fd in range(3, 12):
        done = cli.run("--rm", "-w", f"/proc/self/fd/{fd}", "busybox", "cat", "/etc/passwd", code=None)
        assert done.returncode != 0, fd


def test_cidfile(cli, tmp_path):
    cli.run("--rm", "--cidfile", tmp_path / "id", "busybox", "true")
    assert len((tmp_path / "id").read_text()) == 64
    done = cli.run("--rm", "--cidfile", tmp_path / "id", "busybox", "true", code=125)
    assert "found" in done.stderr


def test_labels(cli, tmp_path):
    (tmp_path / "labels").write_text("c=d\n")
    name = cli.sleeper("--label", "a=b", "--label-file", tmp_path / "labels")
    labels = cli.inspect(name, "Config.Labels")
    assert (labels["a"], labels["c"]) == ("b", "d")


def test_pull_never_says_what_is_missing(cli):
    done = cli.run("--pull", "never", "nope", "true", code=125)
    assert "No such image: nope:latest" in done.stderr or "not found" in done.stderr


def test_bad_references_are_refused(cli):
    assert "must be lowercase" in cli.run("UPPER", "true", code=125).stderr
    assert "invalid reference format" in cli.run("a b", "true", code=125).stderr


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--memory", "4m"], "Minimum memory limit allowed is 6MB"),
        (["--memory-swap", "64m"], "You should always set the Memory limit when using Memoryswap limit, see usage"),
        (["--memory", "64m", "--memory-swap", "32m"], "Minimum memoryswap limit should be larger than memory limit, see usage"),
        (["--cpus", "1000"], "ange of CPUs is from 0.01 to"),
        (["--cpuset-cpus", "x"], "nvalid value x for cpuset cpus"),
        (["--oom-score-adj", "1001"], "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        (["--pid", "bad"], "nvalid PID mode"),
        (["--ipc", "bad"], "nvalid IPC mode"),
        (["--uts", "bad"], "nvalid UTS mode"),
        (["--restart", "nope"], "nvalid restart policy"),
        (["--restart", "always", "--rm"], "onflicting options: "),
        (["--stop-signal", "SIGNOPE"], "nvalid signal: SIGNOPE"),
        (["--log-driver", "nope"], "nope"),
        (["--log-opt", "nope=1"], "unknown log opt 'nope' for json-file log driver"),
        (["-v", "/a:/b:bad"], "invalid mode: bad"),
        (["-v", "a/b:/c"], "includes invalid characters for a local volume name"),
        (["--mount", "type=bind,src=/nope,dst=/x"], "bind source path does not exist"),
        (["--mount", "type=bind,src=/tmp,dst=/"], "destination can't be '/'"),
        (["--network", "container:"], "container:"),
        (["--env", "=x"], "nvalid environment variable: =x"),
        (["--runtime", "nope"], "nope"),
        (["--ulimit", "nope=1"], "nope"),
        (["--add-host", "x"], "bad format for add-host"),
        (["--memory", "x"], "invalid size: 'x'"),
    ],
)
def test_bad_values_are_refused_and_leave_nothing(cli, flags, says):
    network = [] if "--network" in flags else ["--network", "none"]
    done = cli("run", *network, *flags, "busybox", "true", code=125)
    assert says in done.stderr, done.stderr
    assert REFERENCE or cli.out("ps", "-aq") == ""


def test_debian_runs_too(cli):
    assert sh(cli, image="debian", script="grep ^ID= /etc/os-release; dpkg -l | grep -c ^ii > /dev/null && echo ok").split() == ["ID=debian", "ok"]


def test_a_terminal_is_a_terminal(cli):
    out = sh(cli, "-t", script="test -t 0 && test -t 1 && tty")
    assert out.strip() == "/dev/pts/0"


def test_restart_keeps_the_writable_layer(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "cat /x 2>/dev/null; echo kept > /x")
    assert cli.out("start", "-a", "c1") == "kept"


def test_warnings_of_an_attached_run_are_told(cli):
    done = cli("run", "--rm", "--network", "host", "-p", "80", "busybox", "echo", "out")
    assert (done.stdout, done.stderr.strip()) == ("out\n", "WARNING: Published ports are discarded when using host network mode")


def test_a_run_that_does_not_start_leaves_nothing(cli):
    cli.run("--rm", "--name", "gone", "busybox", "nope", code=127)
    assert cli.out("ps", "-aq") == ""
    cli.run("--name", "kept", "busybox", "nope", code=127)
    assert cli.status("kept") == "created"


def test_init_shows_nothing_of_the_host(cli):
    shown = cli.run("--rm", "--init", "busybox", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline").stdout
    assert shown.startswith("/sbin/docker-init -- sh -c tr") and str(cli.daemon.base) not in shown
