"""Images: import, load and save between engines, tag, list, inspect, history, rmi, prune, commit, export, diff."""

import io
import json
import os
import subprocess
import tarfile

import pytest

import fixtures
from conftest import REFERENCE, poll


@pytest.fixture(autouse=True)
def own_images_only(daemon):
    yield
    client = daemon.api()
    for image in client.images.list(all=True):
        if not set(image.tags) & {"busybox:latest", "debian:latest"}:
            client.api.remove_image(image.id, force=True)
        for tag in image.tags:
            if tag not in ("busybox:latest", "debian:latest"):
                try:
                    client.api.remove_image(tag, force=True)
                except Exception as gone:  # removed with the id above
                    assert "No such image" in str(gone)
    client.close()


def image_id(cli, name):
    return cli.out("image", "inspect", "-f", "{{.Id}}", name)


def test_list(cli):
    lines = cli.out("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    assert f"busybox:latest {image_id(cli, 'busybox')[7:19]}" in lines
    assert cli.out("images", "-q", "--no-trunc", "busybox") == image_id(cli, "busybox")
    assert cli.out("image", "ls", "-q", "--filter", "reference=busy*") == image_id(cli, "busybox")[7:19]


def test_tag_and_untag(cli):
    cli("tag", "busybox", "localhost:5000/team/box:v1")
    assert image_id(cli, "localhost:5000/team/box:v1") == image_id(cli, "busybox")
    assert "Untagged: localhost:5000/team/box:v1" in cli.out("rmi", "localhost:5000/team/box:v1")
    assert "No such image" in cli("image", "inspect", "localhost:5000/team/box:v1", code=1).stderr


def test_bad_tags_are_refused(cli):
    assert "invalid reference format" in cli("tag", "busybox", "UPPER", code=1).stderr or "must be lowercase" in cli("tag", "busybox", "UPPER", code=1).stderr
    assert "No such image: nope:latest" in cli("tag", "nope", "x:y", code=1).stderr


def test_an_image_in_use_is_not_removed(cli):
    cli("tag", "busybox", "used:1")
    cli("create", "--network", "none", "--name", "c1", "used:1")
    done = cli("rmi", image_id(cli, "busybox"), code=1)
    assert "conflict: unable to" in done.stderr
    cli("rmi", "used:1")
    assert image_id(cli, "busybox")


def test_import_with_changes(cli, tmp_path):
    with open(fixtures.busybox_tar(), "rb") as tar:
        data = tar.read()
    (tmp_path / "root.tar").write_bytes(data)
    new = cli.out("import", "-m", "words", "-c", 'ENTRYPOINT ["echo"]', "-c", "ENV A=1 B=2", "-c", "LABEL k=v", "-c", "EXPOSE 80", "-c", "USER app", "-c", "WORKDIR /w", tmp_path / "root.tar", "made:1")
    config = json.loads(cli.out("image", "inspect", "made:1"))[0]
    assert config["Id"] == new
    assert config["Config"]["Entrypoint"] == ["echo"] and {"A=1", "B=2"} <= set(config["Config"]["Env"])
    assert config["Config"]["Labels"] == {"k": "v"} and "80/tcp" in config["Config"]["ExposedPorts"]
    assert cli.run("--rm", "made:1", "hello").stdout == "hello\n"
    assert "words" in cli.out("history", "made:1")


def test_commit(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "echo new > /new; rm /etc/group; mkdir /d; touch /d/f")
    new = cli.out("commit", "-m", "message", "-a", "me", "-c", 'CMD ["cat", "/new"]', "c1", "made:1")
    assert new == image_id(cli, "made:1")
    assert cli.run("--rm", "made:1").stdout == "new\n"
    assert cli.run("--rm", "made:1", "sh", "-c", "ls /etc/group /d", code=None).stdout.strip() == "/d:\nf"
    assert len(json.loads(cli.out("image", "inspect", "made:1"))[0]["RootFS"]["Layers"]) == 2
    assert "message" in cli.out("history", "--no-trunc", "made:1")


def test_diff(cli):
    cli.run("--name", "c1", "busybox", "sh", "-c", "echo new > /new; rm /etc/group; echo x >> /etc/passwd")
    assert set(cli.out("diff", "c1").splitlines()) == {"A /new", "C /etc", "D /etc/group", "C /etc/passwd"}


def test_export_has_the_merged_tree(cli, tmp_path):
    cli.run("--name", "c1", "busybox", "sh", "-c", "echo new > /new; rm /etc/group; ln /new /link; mkfifo /fifo; chown 7:8 /new; chmod 4755 /new")
    cli("export", "-o", tmp_path / "out.tar", "c1")
    with tarfile.open(tmp_path / "out.tar") as tar:
        members = {m.name.removeprefix("./"): m for m in tar}
    assert "etc/group" not in members and "etc/passwd" in members
    assert members["fifo"].isfifo()
    kept = members["new"] if members["new"].isfile() else members["link"]
    assert (kept.mode & 0o7777, kept.uid, kept.gid) == (0o4755, 7, 8)
    assert {members["new"].type, members["link"].type} == {tarfile.REGTYPE, tarfile.LNKTYPE}


def test_save_and_load_is_the_same_image(cli, tmp_path):
    cli.run("--name", "c1", "busybox", "touch", "/second")
    cli("commit", "c1", "made:1")
    cli("rm", "c1")
    before = image_id(cli, "made:1")
    cli("save", "-o", tmp_path / "i.tar", "made:1")
    cli("rmi", "made:1")
    assert "Loaded image: made:1" in cli.out("load", "-i", tmp_path / "i.tar")
    assert image_id(cli, "made:1") == before
    cli.run("--rm", "made:1", "test", "-e", "/second")


def test_load_is_quiet_when_asked_and_reads_compressed_archives(cli, tmp_path):
    cli("tag", "busybox", "made:1")
    archive = subprocess.run([cli.binary, "save", "made:1"], env=cli.env, capture_output=True, check=True).stdout
    cli("rmi", "made:1")
    for tool in ("gzip", "zstd") if not REFERENCE else ("gzip",):
        packed = subprocess.run([tool, "-c"], input=archive, capture_output=True, check=True).stdout
        done = subprocess.run([cli.binary, "load", "-q"], env=cli.env, input=packed, capture_output=True, check=True)
        assert done.stdout == b"Loaded image: made:1\n"


@pytest.mark.parametrize("layout", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_we_save_and_we_load_what_it_writes(cli, tmp_path, layout):
    if REFERENCE and layout == "oci-archive":
        pytest.skip("Docker 20.10 does not load OCI archives")
    cli("tag", "busybox", "made:1")
    cli("save", "-o", tmp_path / "ours.tar", "made:1")
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{tmp_path}/ours.tar", f"{layout}:{tmp_path}/theirs.tar:made:2"], check=True)
    out = cli.out("load", "-i", tmp_path / "theirs.tar")
    name = "made:2" if "made:2" in out else out.split()[-1]
    assert cli.run("--rm", name, "echo", "ok").stdout == "ok\n"


def test_whiteouts_and_metadata_survive_a_round_trip(cli, tmp_path):
    script = "mkdir /a; touch /a/1 /a/2; echo x > /t; touch -d '2001-02-03 04:05:06' /t; chown 12:34 /t; chmod 6711 /t; ln -s /t /sl; mknod /n c 1 3"
    cli.run("--name", "c1", "busybox", "sh", "-c", script)
    cli("commit", "c1", "made:1")
    cli.run("--name", "c2", "made:1", "sh", "-c", "rm /a/1; rm -r /home; mkdir /home; touch /home/only")
    cli("commit", "c2", "made:2")
    cli("rm", "c1", "c2")
    cli("save", "-o", tmp_path / "i.tar", "made:2")
    cli("rmi", "made:2", "made:1")
    cli("load", "-i", tmp_path / "i.tar")
    out = cli.run("--rm", "made:2", "sh", "-c", "ls /a /home; stat -c '%a %u %g %Y' /t; readlink /sl; stat -c %t,%T /n").stdout
    assert out.split() == ["/a:", "2", "/home:", "only", "6711", "12", "34", "981173106", "/t", "1,3"]


def test_dangling_images_are_pruned(cli):
    for _ in range(2):
        cli.run("--name", "c1", "busybox", "sh", "-c", "cat /proc/sys/kernel/random/uuid > /x")
        cli("commit", "c1", "made:1")
        cli("rm", "c1")
    assert cli.out("images", "-q", "--filter", "dangling=true").count("\n") == 0
    assert cli.out("images", "-q", "--filter", "dangling=true") != ""
    assert "Total reclaimed space" in cli.out("image", "prune", "-f")
    assert cli.out("images", "-q", "--filter", "dangling=true") == ""


def test_history(cli):
    rows = cli.out("history", "--format", "{{.ID}} {{.CreatedBy}}", "busybox").splitlines()
    assert len(rows) == 1


def hostile(*members):
    """An archive of (name, type, link or bytes) entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content
                tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [("../escaped", tarfile.REGTYPE, b"x")],
        [("/../../escaped", tarfile.REGTYPE, b"x")],
        [("link", tarfile.SYMTYPE, "/tmp"), ("link/escaped", tarfile.REGTYPE, b"x")],
        [("link", tarfile.SYMTYPE, "../../../../../../../../tmp"), ("link/escaped", tarfile.REGTYPE, b"x")],
        [("hard", tarfile.LNKTYPE, "../../../../../../../../etc/hostname"), ("hard", tarfile.REGTYPE, b"x")],
        [("link", tarfile.SYMTYPE, "/etc/hostname"), ("hard", tarfile.LNKTYPE, "link"), ("hard", tarfile.REGTYPE, b"x")],
    ],
)
def test_hostile_layers_do_not_reach_out(docker, members):
    """Whether refused or taken as a layer, nothing outside is touched."""
    before = open("/etc/hostname", "rb").read() if os.path.exists("/etc/hostname") else None
    done = subprocess.run([docker.binary, "import", "-", "made:1"], env=docker.env, input=hostile(*members), capture_output=True)
    assert done.returncode in (0, 1)
    assert not os.path.exists("/tmp/escaped") and not os.path.exists("/escaped")
    assert before is None or open("/etc/hostname", "rb").read() == before


@pytest.mark.parametrize(
    "archive, says",
    [
        (b"garbage" * 1000, "invalid tar header"),
        (hostile(("a", tarfile.REGTYPE, b"x" * 5000))[:1500], ""),
        (hostile(("manifest.json", tarfile.REGTYPE, b"{")), ""),
        (hostile(("manifest.json", tarfile.REGTYPE, b'[{"Config":"../../../etc/passwd","RepoTags":["x:y"],"Layers":[]}]')), ""),
        (hostile(("manifest.json", tarfile.REGTYPE, b'[{"Config":"nope.json","RepoTags":["x:y"],"Layers":["nope.tar"]}]')), ""),
    ],
)
def test_bad_archives_are_refused_and_leave_nothing(docker, archive, says):
    before = docker.out("images", "-aq")
    done = subprocess.run([docker.binary, "load"], env=docker.env, input=archive, capture_output=True, text=False)
    assert done.returncode == 1 and says in done.stderr.decode() + done.stdout.decode()
    assert docker.out("images", "-aq") == before


def test_deleting_and_loading_at_once_loses_nothing(docker, tmp_path):
    docker("tag", "busybox", "made:1")
    docker("save", "-o", tmp_path / "i.tar", "made:1")
    running = []
    for _ in range(6):
        running.append(docker.spawn("load", "-q", "-i", tmp_path / "i.tar"))
        running.append(docker.spawn("rmi", "-f", "made:1"))
        running.append(docker.spawn("image", "prune", "-f"))
    for process in running:
        process.communicate(timeout=60)
    docker("load", "-q", "-i", tmp_path / "i.tar")
    docker.run("--rm", "made:1", "true")


def test_the_built_in_image_explains_itself(skiff):
    done = skiff.run("--rm", "skiff/hello")
    assert "Skiff" in done.stdout
