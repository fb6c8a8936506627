"""Contexts: both command lines read, write, export and import what the other has written."""

import json
import os
import subprocess

import pytest

from conftest import DOCKER, SKIFF

PROGRAMS = {"skiff": SKIFF, "docker": DOCKER}


@pytest.fixture
def contexts(tmp_path):
    """Runs a context command of a program in a directory of its own; gives the process."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}

    def run(program, *args, code=0, **kwargs):
        (tmp_path / program).mkdir(exist_ok=True)
        done = subprocess.run(
            [PROGRAMS[program], "context", *args],
            env={**env, "DOCKER_CONFIG": str(tmp_path / program)},
            cwd=tmp_path,
            capture_output=True,
            **kwargs,
        )
        assert done.returncode == code, (args, done.stderr)
        return done

    # Docker's own looks whether they are what they are called.
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    return run


def inspect(contexts, program, name):
    found = json.loads(contexts(program, "inspect", name).stdout)[0]
    del found["Storage"]
    return found


@pytest.mark.parametrize(("exporter", "importer"), (("skiff", "docker"), ("docker", "skiff"), ("skiff", "skiff")))
def test_what_one_exports_the_other_imports(contexts, tmp_path, exporter, importer):
    endpoint = "host=tcp://1.2.3.4:2376,ca=ca.pem,cert=cert.pem,key=key.pem,skip-tls-verify=true"
    contexts(exporter, "create", "there", "--description", "a machine", "--docker", endpoint)
    done = contexts(exporter, "export", "there")
    assert (done.stdout, done.stderr) == (b"", b'Written file "there.dockercontext"\n')
    assert (tmp_path / "there.dockercontext").stat().st_mode & 0o777 == 0o600
    contexts(importer, "import", "here", "there.dockercontext")
    piped = contexts(exporter, "export", "there", "-").stdout
    contexts(importer, "import", "again", "-", input=piped)
    expected = inspect(contexts, exporter, "there")
    assert expected["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    for name in ("here", "again"):
        assert inspect(contexts, importer, name) == {**expected, "Name": name}
    stored = list((tmp_path / importer).glob("contexts/tls/*/docker/*.pem"))
    assert len(stored) >= 6 and all(file.read_text() == (tmp_path / file.name).read_text() for file in stored)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_update_changes_what_it_names(contexts, program):
    contexts(program, "create", "one", "--description", "old", "--docker", "host=tcp://1.1.1.1:1,ca=ca.pem")
    contexts(program, "update", "one", "--description", "new")
    changed = inspect(contexts, program, "one")
    assert (changed["Metadata"], changed["TLSMaterial"]) == ({"Description": "new"}, {"docker": ["ca.pem"]})
    # Another daemon has other certificates.
    contexts(program, "update", "one", "--docker", "host=unix:///x.sock")
    changed = inspect(contexts, program, "one")
    assert changed["Endpoints"] == {"docker": {"Host": "unix:///x.sock", "SkipTLSVerify": False}}
    assert (changed["Metadata"], changed["TLSMaterial"]) == ({"Description": "new"}, {})


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_cannot_be_is_refused_in_dockers_words(contexts, tmp_path, program):
    contexts(program, "create", "one", "--docker", "host=unix:///x.sock")
    (tmp_path / "one.dockercontext").write_text("taken")
    for args, says in (
        (["export", "one"], "open one.dockercontext: file exists"),
        (["export", "nope"], 'context "nope": context not found: open '),
        (["import", "one", "one.dockercontext"], 'context "one" already exists'),
        (["import", "two", "/none"], "open /none: no such file or directory"),
        (["update", "default", "--description", "x"], '"default" is a reserved context name'),
        (["update", "nope", "--description", "x"], 'context "nope": context not found: open '),
        (["update", "one", "--docker", "x=1"], "unable to create docker endpoint config: unrecognized config key: x"),
        (["create", "two", "--docker", "from=nope"], 'unable to create docker endpoint config: context "nope": context'),
    ):
        assert contexts(program, *args, code=1).stderr.decode().startswith(says), args


def test_a_volume_of_no_cluster_is_not_updated(cli, daemon):
    cli("volume", "create", "plain")
    try:
        assert cli("volume", "update", "plain", code=1).stderr.strip() == "can only update cluster volumes"
        assert "no such volume" in cli("volume", "update", "none", code=1).stderr
    finally:
        cli("volume", "rm", "plain")
