"""The same engine through docker-py, unchanged."""

import concurrent.futures
import io
import threading

import docker as docker_py
import pytest

from conftest import REFERENCE, poll


def test_version_info_ping(api):
    assert api.ping()
    assert api.version()["Os"] == "linux"
    assert api.info()["NCPU"] >= 1


def test_run_gives_the_output(api):
    assert api.containers.run("busybox", ["echo", "hello"], remove=True, network_mode="none") == b"hello\n"


def test_run_raises_for_a_failure(api):
    with pytest.raises(docker_py.errors.ContainerError) as failed:
        api.containers.run("busybox", ["sh", "-c", "echo oops >&2; exit 3"], network_mode="none")
    assert failed.value.exit_status == 3 and failed.value.stderr == b"oops\n"


def test_run_raises_for_a_missing_image(api):
    with pytest.raises((docker_py.errors.ImageNotFound, docker_py.errors.APIError)):
        api.containers.run("nope:nope", network_mode="none")


@pytest.fixture
def running(api):
    return api.containers.run("busybox", ["sleep", "infinity"], detach=True, init=True, network_mode="none", name="py", labels={"a": "b"})


def test_life_cycle(api, running):
    running.pause()
    running.reload()
    assert running.status == "paused"
    running.unpause()
    running.restart(timeout=1)
    running.rename("other")
    assert api.containers.get("other").id == running.id
    running.stop(timeout=1)
    assert running.wait()["StatusCode"] == 143
    running.start()
    running.kill("SIGKILL")
    assert running.wait()["StatusCode"] == 137
    running.remove()
    with pytest.raises(docker_py.errors.NotFound):
        api.containers.get("other")


def test_exec(api, running):
    assert running.exec_run(["echo", "x"]) == (0, b"x\n")
    code, (out, err) = running.exec_run(["sh", "-c", "echo o; echo e >&2; exit 4"], demux=True)
    assert (code, out, err) == (4, b"o\n", b"e\n")
    code, stream = running.exec_run(["sh", "-c", "echo 1; echo 2"], stream=True)
    assert b"".join(stream) == b"1\n2\n"


def test_exec_output_reaches_busy_clients(running):
    """docker-py loses what arrives together with the head of the answer, so nothing may."""
    run = lambda _: running.exec_run(["sh", "-c", "echo o; echo e >&2; exit 4"], demux=True)  # noqa: E731
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(run, range(100))) == {(4, (b"o\n", b"e\n"))}


def test_exec_socket(api, running):
    made = api.api.exec_create(running.id, ["cat"], stdin=True)
    stream = api.api.exec_start(made["Id"], socket=True)
    raw = stream._sock
    raw.sendall(b"abc")
    raw.shutdown(1)
    got = b""
    while piece := raw.recv(100):
        got += piece
    assert got[8:] == b"abc"
    assert poll(lambda: api.api.exec_inspect(made["Id"])["ExitCode"] == 0, "its end")


def test_logs_and_attach(api):
    c = api.containers.run("busybox", ["sh", "-c", "echo a; echo b >&2"], detach=True, network_mode="none")
    c.wait()
    assert c.logs(stdout=True, stderr=False) == b"a\n"
    assert c.logs(stdout=False, stderr=True) == b"b\n"
    assert sorted(c.logs(stream=True)) == [b"a\n", b"b\n"]


def test_stats_and_top(api, running):
    stats = running.stats(stream=False)
    assert stats["memory_stats"]["usage"] > 0 and stats["pids_stats"]["current"] >= 1
    assert any("sleep" in " ".join(row) for row in running.top()["Processes"])


def test_list_filters(api, running):
    assert [c.id for c in api.containers.list(filters={"label": "a=b"})] == [running.id]
    assert [c.id for c in api.containers.list(filters={"name": "py", "status": "running", "ancestor": "busybox"})] == [running.id]
    assert api.containers.list(filters={"label": "a=c"}) == []


def test_events(api):
    seen, ready = [], threading.Event()
    events = api.events(decode=True, filters={"type": "container"})

    def listen():
        ready.set()
        for event in events:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait()
    api.containers.run("busybox", ["true"], remove=True, network_mode="none")
    listener.join(20)
    events.close()
    wanted = ["create", "start", "die", "destroy"]
    assert [e for e in seen if e in wanted] == wanted


def test_images(api):
    image = api.images.get("busybox")
    assert image.tag("made", "py")
    archive = b"".join(api.images.get("made:py").save(named="made:py"))
    api.images.remove("made:py")
    assert [i.id for i in api.images.load(archive)] == [image.id]
    assert len(image.history()) == 1
    api.images.remove("made:py")


def test_commit_and_diff(api):
    c = api.containers.run("busybox", ["touch", "/new"], detach=True, network_mode="none")
    c.wait()
    assert {"Path": "/new", "Kind": 1} in c.diff()
    image = c.commit("made", "py2")
    assert api.containers.run(image.id, ["ls", "/new"], remove=True, network_mode="none") == b"/new\n"
    c.remove()
    api.images.remove("made:py2")


def test_export(api):
    c = api.containers.create("busybox", network_mode="none")
    assert len(b"".join(c.export())) > 1_000_000


def test_update_and_prune(api, running):
    running.update(mem_limit="64m", memswap_limit="64m")
    running.reload()
    assert running.attrs["HostConfig"]["Memory"] == 64 << 20
    idle = api.containers.create("busybox", network_mode="none")
    assert idle.id in api.containers.prune()["ContainersDeleted"]


def test_df(api):
    df = api.df()
    if "ImageUsage" in df:  # API 1.52 and later
        df = {"LayersSize": df["ImageUsage"]["TotalSize"], "Images": range(df["ImageUsage"]["TotalCount"])}
    assert df["LayersSize"] > 0 and len(df["Images"]) >= 2


def test_one_name_from_many_threads(api):
    """Fifty at once: one gets it, the others are told."""
    results = []

    def create():
        try:
            api.api.create_container("busybox", name="same", host_config=api.api.create_host_config(network_mode="none"))
            results.append(201)
        except docker_py.errors.APIError as refused:
            results.append(refused.status_code)

    threads = [threading.Thread(target=create) for _ in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == [201] + [409] * 49


@pytest.mark.skipif(bool(REFERENCE), reason="Docker 20.10 answers some of these races with 500")
def test_many_verbs_at_once_leave_a_valid_state(daemon, api):
    c = api.containers.create("busybox", ["sleep", "infinity"], init=True, network_mode="none")
    errors = []

    def act(verb, kwargs):
        client = daemon.api()
        try:
            getattr(client.containers.get(c.id), verb)(**kwargs)
        except docker_py.errors.APIError as refused:
            if refused.status_code not in (304, 404, 409):
                errors.append((verb, refused))
        finally:
            client.close()

    for _ in range(10):
        verbs = [("start", {}), ("kill", {}), ("stop", {"timeout": 0}), ("pause", {}), ("unpause", {}), ("restart", {"timeout": 0}), ("start", {})]
        threads = [threading.Thread(target=act, args=v) for v in verbs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    errors = [e for e in errors if not (e[0] == "unpause" and "is not paused" in str(e[1]))]
    assert errors == []
    c.reload()
    assert c.status in ("running", "exited", "paused")
