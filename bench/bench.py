#!/usr/bin/env python3
"""Measures Skiff side by side with the engines people use, in one run, and prints a table.

    bench/bench.py                 all measurements, table to standard output
    bench/bench.py run exec        only those
    bench/bench.py --write         also into BENCHMARKS.md
    bench/bench.py --quick         fewer rounds, for a look

Engines take turns within each measurement (A B C C B A ...), so that what the machine does
meanwhile falls on all of them. Figures are medians. Everything runs with the isolation each engine
has by default: seccomp, capabilities, masked paths, control groups.
"""

import argparse
import concurrent.futures
import contextlib
import gzip
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import peers
from peers import DOCKER, SKIFF, Docker, Peer, Podman, Skiff, fixtures, pss_kb

ROWS = []
DEVNULL = os.open(os.devnull, os.O_RDWR)


def spawn_ms(command, env):
    """Wall time of one command, from before its start to its end, in ms."""
    actions = [(os.POSIX_SPAWN_DUP2, DEVNULL, fd) for fd in (0, 1, 2)]
    path = shutil.which(command[0])
    start = time.perf_counter()
    pid = os.posix_spawn(path, command, env, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - start) * 1000
    assert status == 0, (command, status)
    return took


def turns(commands, rounds, env=Peer.env):
    """{name: command} -> {name: [ms]}, taking turns."""
    times = {name: [] for name in commands}
    for command in commands.values():
        spawn_ms(command, env)
    for n in range(rounds):
        for name in list(commands)[:: 1 if n % 2 == 0 else -1]:
            times[name].append(spawn_ms(commands[name], env))
    return times


def row(what, unit, values, goal, better="less", ours="skiff", peer="docker.io"):
    """Adds a line: `values` is {engine: figure}."""
    ratio = None
    if peer in values and ours in values and values[ours]:
        ratio = values[peer] / values[ours] if better == "less" else values[ours] / values[peer]
    ROWS.append((what, unit, values, ratio, goal))
    shown = ", ".join(f"{k} {v:.2f}" for k, v in values.items())
    print(f"# {what} [{unit}]: {shown}" + (f"  ({ratio:.1f}x)" if ratio else ""), file=sys.stderr, flush=True)


def medians(times):
    return {name: statistics.median(values) for name, values in times.items()}


def bench_run(engines, quick):
    args = ("run", "--rm", "--network", "none", "busybox", "true")
    commands = {e.name: e.command("run", *e.run_flags, *args[1:]) for e in engines}
    commands["skiff, docker CLI"] = engines[0].through_docker_cli().command(*args)
    commands["docker CLI alone"] = [DOCKER, "--version"]
    m = medians(turns(commands, 10 if quick else 40))
    row("`run --rm --network none busybox true`", "ms", m, "40x docker.io; docker CLI + 10 ms")


def bench_exec(engines, quick):
    for e in engines:
        e.out("run", *e.run_flags, "-d", "--network", "none", "--name", "xx", "busybox", "sleep", "infinity")
    commands = {e.name: e.command("exec", "xx", "true") for e in engines}
    commands["skiff, docker CLI"] = engines[0].through_docker_cli().command("exec", "xx", "true")
    commands["docker CLI alone"] = [DOCKER, "--version"]
    m = medians(turns(commands, 20 if quick else 60))
    for e in engines:
        e.out("rm", "-f", "xx")
    row("`exec x true`", "ms", m, "25x docker.io; docker CLI + 10 ms")


def bench_runtime(engines, quick):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as base:
        base = pathlib.Path(base)
        bundle = str(peers.bundle(base / "b"))
        commands = {
            "skiff": [SKIFF, "runtime", "--root", str(base / "s"), "run", "--bundle", bundle, "b1"],
            "runc": ["runc", "--root", str(base / "r"), "run", "--bundle", bundle, "b2"],
            "crun": ["crun", "--root", str(base / "c"), "run", "--bundle", bundle, "b3"],
        }
        m = medians(turns(commands, 10 if quick else 50))
    row("OCI runtime alone: `run` of one bundle", "ms", m, "4x runc, faster than crun", peer="runc")


def bench_memory(engines, quick):
    """Idle daemons, then what each idle container adds."""
    count = 10 if quick else 40
    idle, each = {}, {}
    for e in engines:
        if isinstance(e, Podman):
            continue
        e.out("run", "--rm", "--network", "none", "busybox", "true")
        time.sleep(1)
        idle[e.name] = pss_kb(e.pids()) / 1024
        names = [f"m{i}" for i in range(count)]
        before_pids, before = set(e.pids()), pss_kb(e.pids())
        for name in names:
            e.out("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "infinity")
        time.sleep(1)
        each[e.name] = (pss_kb(e.pids()) - before) / 1024 / count
        e.out("rm", "-f", *names)
        del before_pids
    row("idle: everything resident, PSS", "MB", idle, "12 MB or less")
    row("each idle container, PSS of the engine's processes", "MB", each, "0.5 MB or less")


def bench_thousand(engines, quick):
    """ps, inspect and start with many containers there (Skiff; Docker with a tenth of them)."""
    for e, count in ((engines[0], 100 if quick else 1000), (next((x for x in engines if isinstance(x, Docker)), None), 10 if quick else 100)):
        if e is None:
            continue
        start = lambda name: spawn_ms(e.command("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "infinity"), Peer.env)  # noqa: E731
        times = [start(f"t{i}") for i in range(count)]
        first, last = statistics.median(times[:20]), statistics.median(times[-20:])
        ps = statistics.median([spawn_ms(e.command("ps"), Peer.env) for _ in range(15)])
        inspect = statistics.median([spawn_ms(e.command("inspect", f"t{count // 2}"), Peer.env) for _ in range(15)])
        with contextlib.suppress(Exception):
            for i in range(0, count, 50):
                e.out("rm", "-f", *[f"t{j}" for j in range(i, min(count, i + 50))])
        row(f"start of container 1-20 and {count - 19}-{count} ({e.name})", "ms", {"first": first, "last": last}, "last within 1.5x of first", ours="last", peer="first")
        row(f"`ps`, `inspect` with {count} containers ({e.name})", "ms", {"ps": ps, "inspect": inspect}, "10 ms")


def bench_churn(engines, quick):
    seconds = 5 if quick else 30
    rates = {}
    for e in engines:
        if isinstance(e, Podman):
            continue
        command = e.command("run", "--rm", "--network", "none", "busybox", "true")

        def work(_):
            done, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                spawn_ms(command, Peer.env)
                done += 1
            return done

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            rates[e.name] = sum(pool.map(work, range(2))) / seconds
    row(f"2 workers of `run --rm` for {seconds} s", "containers/s", rates, "15x docker.io", better="more")


def bench_logs(engines, quick):
    """A container writes lines of 100 bytes as fast as it is read; both keep json-file logs."""
    size = (50 if quick else 300) << 20
    with tempfile.TemporaryDirectory(dir="/var/tmp") as base:
        path = pathlib.Path(base) / "lines"
        line = b"".join(b"%099d\n" % i for i in range(10486))
        with open(path, "wb") as out:
            while out.tell() < size:
                out.write(line)
        size = path.stat().st_size
        rates = {}
        for e in engines:
            if isinstance(e, Podman):
                continue
            found = []
            for n in range(3):
                start = time.perf_counter()
                e.out("run", "-d", "--network", "none", "--name", f"l{n}", "-v", f"{path}:/lines:ro", "busybox", "cat", "/lines")
                e.out("wait", f"l{n}")
                found.append(size / (1 << 20) / (time.perf_counter() - start))
                e.out("rm", f"l{n}")
            rates[e.name] = statistics.median(found)
    row("stdout at full speed into a json-file log", "MB/s", rates, "5x docker.io", better="more")


def bench_load(engines, quick):
    """`load` of a gzip'd docker-archive with one layer of 1 GB in 25,000 files, until it says it is done."""
    tar = fixtures.many_files_tar(*((2500, 100 << 20) if quick else ()))
    archive = tar.with_suffix(".docker.tar.gz")
    if not archive.exists():
        maker = next(e for e in engines if isinstance(e, Docker))
        maker.import_image(tar, "many")
        with open(archive.with_suffix(".part"), "wb") as out:
            save = subprocess.Popen(maker.command("save", "many"), stdout=subprocess.PIPE)
            subprocess.run(["gzip", "-6"], stdin=save.stdout, stdout=out, check=True)
        os.rename(archive.with_suffix(".part"), archive)
        maker.out("rmi", "-f", "many")
    # Each load into an engine with fresh roots, which go away at the end: ext4 is slow to give out
    # inodes while others were deleted within the last minutes, and that would be measured.
    times = {"skiff": [], "docker.io": []}
    with contextlib.ExitStack() as stack:
        for n in range(1 if quick else 3):
            for kind in (Skiff, Docker)[:: 1 if n % 2 == 0 else -1]:
                engine = kind().start()
                stack.callback(engine.stop)
                os.sync()
                took = spawn_ms(engine.command("load", "-q", "-i", str(archive)), Peer.env)
                times[engine.name].append(took / 1000)
    row("`load` of 1 GB in 25,000 files, gzip, synced", "s", medians(times), "3x docker.io")


BENCHES = {
    "run": bench_run,
    "exec": bench_exec,
    "runtime": bench_runtime,
    "memory": bench_memory,
    "churn": bench_churn,
    "logs": bench_logs,
    "load": bench_load,
    "thousand": bench_thousand,
}


def table():
    lines = ["| what | unit | figures (medians) | ratio | goal |", "|---|---|---|---|---|"]
    for what, unit, values, ratio, goal in ROWS:
        figures = "; ".join(f"{name} **{value:.2f}**" if name == "skiff" else f"{name} {value:.2f}" for name, value in values.items())
        lines.append(f"| {what} | {unit} | {figures} | {f'{ratio:.1f}x' if ratio else ''} | {goal} |")
    return "\n".join(lines)


def versions():
    def first(*command):
        if not shutil.which(command[0]):
            return f"{command[0]} not installed"
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=peers.ROOT, capture_output=True, text=True).stdout.strip()
    return "; ".join([f"skiff {commit}", first("dockerd", "--version"), first("runc", "--version"), first("crun", "--version"), first("podman", "--version"), f"Linux {platform.release()}, {os.cpu_count()} cores"])


def enter_usual_mounts():
    """Measures in a mount namespace with a tmpfs on /run, as every distribution has it, for all alike.

    Where an (empty) cgroup2 tree is mounted beside version 1, it is left out: crun 1.8 refuses such hosts.
    """
    if os.environ.get("SKIFF_BENCH_INSIDE"):
        return
    inner = 'mount -t tmpfs -o mode=755 tmpfs /run; mountpoint -q "$1" && umount "$1"; shift; exec "$@"'
    os.environ["SKIFF_BENCH_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "sh", "-c", inner, "sh", "/sys/fs/cgroup/unified", sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES], help="measurements (default: all)")
    parser.add_argument("--write", action="store_true", help="put the table into BENCHMARKS.md")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-podman", action="store_true")
    options = parser.parse_args()
    for program in ("dockerd", "runc", "crun", "podman"):
        if not shutil.which(program) and not (program == "podman" and options.no_podman):
            sys.exit(f"bench: {program} is not installed: apt-get install docker.io runc crun podman (or --no-podman)")
    enter_usual_mounts()
    with contextlib.ExitStack() as stack:
        engines = []
        for kind in (Skiff, Docker) if options.no_podman else (Skiff, Docker, Podman):
            engine = kind()
            stack.callback(engine.stop)
            engine.start().import_image(fixtures.busybox_tar(), "busybox")
            engines.append(engine)
        for name in options.what or BENCHES:
            BENCHES[name](engines, options.quick)
    text = f"{versions()}\n\n{table()}\n"
    print(text)
    if options.write:
        path = peers.ROOT / "BENCHMARKS.md"
        head = path.read_text().split("<!-- table -->")[0] if path.exists() else "# Benchmarks\n\n"
        path.write_text(f"{head}<!-- table -->\n\n{time.strftime('%Y-%m-%d')}, `bench/bench.py --write`. {text}")


if __name__ == "__main__":
    main()
