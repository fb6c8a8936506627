"""`--mount type=image`: another image's files, to look at."""

import io
import pathlib
import tarfile
import uuid

import pytest

import conftest
from conftest import REFERENCE

pytestmark = pytest.mark.skipif(bool(REFERENCE), reason="dockerd got it with version 28")


def tar(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


@pytest.fixture
def image(docker, daemon):
    """An image of two layers: the upper one changes, adds and removes."""
    name = f"shown{uuid.uuid4().hex[:8]}"
    client = daemon.api()
    client.api.import_image_from_data(tar({"etc/one": "low", "etc/two": "gone", "data/deep/file": "deep"}), repository=name)
    container = docker.out("create", "--network", "none", name, "x")
    client.api.put_archive(container, "/", tar({"etc/one": "high"}))
    client.close()
    docker("commit", container, name)
    docker("rm", container)
    yield name
    conftest.remove_containers(daemon)
    docker("rmi", "-f", name)


def test_the_files_are_there_and_stay_as_they_are(cli, image):
    mount = f"type=image,source={image},target=/shown"
    script = "cat /shown/etc/one /shown/etc/two /shown/data/deep/file; touch /shown/x || rm /shown/etc/one"
    done = cli.run("--rm", "--mount", mount, "busybox", "sh", "-c", script, code=1)
    assert done.stdout == "highgonedeep"
    assert done.stderr.count("Read-only file system") == 2
    part = cli.run("--rm", "--mount", f"{mount},image-subpath=data/deep", "busybox", "ls", "/shown")
    assert part.stdout == "file\n"


def test_one_layer_is_enough(cli):
    done = cli.run("--rm", "--mount", "type=image,source=busybox,target=/b", "busybox", "/b/bin/echo", "two")
    assert done.stdout == "two\n"


def test_it_is_told_and_copied_from_and_kept(cli, image):
    name = cli.sleeper("--mount", f"type=image,source={image},target=/shown")
    mount = cli.inspect(name, "Mounts")[0]
    told = ("image", image, "/shown", False)
    assert (mount["Type"], mount["Name"], mount["Destination"], mount["RW"]) == told
    assert cli("cp", f"{name}:/shown/etc/one", "-", text=False).stdout.count(b"high") == 1
    done = cli("rmi", image, code=1)
    assert "is using its referenced image" in done.stderr
    cli("image", "prune", "-af", "--filter", "label=none-has-this")
    place = pathlib.Path(mount["Source"])
    assert (place / "etc/one").read_text() == "high"
    cli("restart", "-t", "5", name)
    assert cli.out("exec", name, "cat", "/shown/etc/one") == "high"
    cli("stop", name)
    conftest.poll(lambda: not list(place.iterdir()), "the image to be unmounted")
    cli("rm", name)
    assert not place.exists()


def test_another_container_may_have_it_too(cli, image):
    name = cli.sleeper("--mount", f"type=image,source={image},target=/shown,image-subpath=data")
    done = cli.run("--rm", "--volumes-from", name, "busybox", "cat", "/shown/deep/file")
    assert done.stdout == "deep"


def test_a_daemon_that_died_finds_it_mounted_and_lets_it_go(own_daemon):
    cli = conftest.Cli("docker", own_daemon)
    name = cli.sleeper("--mount", "type=image,source=debian,target=/shown")
    own_daemon.kill9()
    own_daemon.start()
    assert cli.out("exec", name, "ls", "-d", "/shown/etc") == "/shown/etc"
    cli("rm", "-f", name)
    assert own_daemon.base.name not in pathlib.Path("/proc/mounts").read_text()


def test_what_cannot_be_is_refused(cli, image):
    for mount, says in (
        ("type=image,source=none-of-this,target=/x", "No such image: none-of-this"),
        (f"type=image,source={image},target=/x,image-subpath=../x", "subpath must be a relative path within the volume"),
    ):
        done = cli.run("--mount", mount, "busybox", "true", code=125)
        assert says in done.stderr and "Unable to find image" not in done.stderr
    done = cli.run("--mount", f"type=image,source={image},target=/x,image-subpath=nope", "busybox", "true", code=None)
    assert done.returncode != 0 and "nope" in done.stderr
