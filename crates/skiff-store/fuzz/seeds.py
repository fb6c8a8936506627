#!/usr/bin/env python3
"""Writes what the fuzzers start from: corpus/<target>/* and, of words, corpus/<target>.dict.

Archives are made by Python's tarfile and GNU tar, so that the seeds are not of our own writer only.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile

CORPUS = pathlib.Path(__file__).parent / "corpus"
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write(target, name, content):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"seed-{name}").write_bytes(content)


def words(target, texts):
    escaped = ["".join(f"\\x{byte:02x}" for byte in text.encode("latin-1")) for text in texts]
    (CORPUS / f"{target}.dict").write_text("".join(f'"{text}"\n' for text in escaped))


def member(archive, name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.pax_headers = {}
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def archive(members, form=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as opened:
        for name, content in members:
            member(opened, name, content)
    return out.getvalue()


def layer(form):
    """One entry of each kind."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as opened:
        member(opened, "d", type=tarfile.DIRTYPE, mode=0o755)
        member(opened, "d/file", b"contents", mode=0o4755, uid=1000, gid=1000, mtime=1)
        member(opened, "d/symlink", type=tarfile.SYMTYPE, linkname="../d/file")
        member(opened, "hardlink", type=tarfile.LNKTYPE, linkname="d/file")
        member(opened, "null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        member(opened, "fifo", type=tarfile.FIFOTYPE)
        member(opened, "d/.wh.gone")
        member(opened, "d/.wh..wh..opq")
        if form != tarfile.USTAR_FORMAT:
            member(opened, f"{'l' * 120}/{'n' * 120}", b"long")
            member(opened, "big-id", uid=3_000_000)
        if form == tarfile.PAX_FORMAT:
            xattrs = {"SCHILY.xattr.user.a": "value", "mtime": "1.5", "GNU.sparse.major": "9"}
            member(opened, "pax", b"x", pax_headers=xattrs)
    return out.getvalue()


def sparse(form):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "s"), "wb") as file:
            for offset in range(0, 10 << 16, 1 << 16):
                file.seek(offset)
                file.write(b"data")
            file.truncate(1 << 20)
        command = ["tar", "--sparse", f"--format={form}", "-C", directory, "-cf", "-", "s"]
        return subprocess.run(command, capture_output=True, check=True).stdout


def digest(content):
    return hashlib.sha256(content).hexdigest()


def config(diff_ids, **more):
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in diff_ids]}
    document = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, **more}
    return json.dumps(document).encode()


def docker_archive(layers):
    document = config([digest(layer) for layer in layers])
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["a:b"], "Layers": names}]
    documents = [("config.json", document), ("manifest.json", json.dumps(manifest).encode())]
    return archive([*zip(names, layers), *documents])


def descriptor(kind, content):
    return {"mediaType": kind, "digest": f"sha256:{digest(content)}", "size": len(content)}


def layout(layers):
    blobs = [gzip.compress(layer, mtime=0) for layer in layers]
    document = config([digest(layer) for layer in layers])
    oci = "application/vnd.oci.image"
    manifest = json.dumps({
        "schemaVersion": 2,
        "config": descriptor(f"{oci}.config.v1+json", document),
        "layers": [descriptor(f"{oci}.layer.v1.tar+gzip", blob) for blob in blobs],
    }).encode()
    named = descriptor(f"{oci}.manifest.v1+json", manifest)
    named["annotations"] = {"io.containerd.image.name": "a/b:c"}
    index = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
    contents = [(f"blobs/sha256/{digest(blob)}", blob) for blob in [*blobs, document, manifest]]
    return archive([*contents, ("index.json", index)])


def zstd(content):
    return subprocess.run(["zstd", "-q"], input=content, capture_output=True, check=True).stdout


def tars():
    for name, form in FORMATS.items():
        for target in ["tar", "apply", "import"]:
            write(target, name, layer(form))
    for form in ["gnu", "posix"]:
        for target in ["tar", "apply", "import"]:
            write(target, f"sparse-{form}", sparse(form))
    small = archive([("a", b"1")])
    loads = {
        "docker": docker_archive([small, layer(tarfile.PAX_FORMAT)]),
        "same-layer": docker_archive([small, small]),
        "layout": layout([small]),
    }
    for name, content in loads.items():
        write("load", name, content)
        write("load", f"{name}-gzip", gzip.compress(content, mtime=0))
        write("load", f"{name}-zstd", zstd(content))


def documents():
    """Placeholders are those of documents.rs: 0 is a layer, 1 its gzip, 2 the first document."""
    image = (
        b'{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","author":null,'
        b'"config":{"Env":["A=1"],"Cmd":null,"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["NONE"],'
        b'"Interval":1}},"rootfs":{"type":"layers","diff_ids":["@0"]},"history":[{"created_by":"x"},'
        b'{"empty_layer":true}],"container_config":{"Image":"y"}}'
    )
    docker = (
        b'[{"Config":"blobs/sha256/%2","RepoTags":["a:b","c/d:e"],"Layers":["blobs/sha256/%0"],'
        b'"LayerSources":{"@0":{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@0","size":#0}}}]'
    )
    manifest = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@2","size":#2},'
        b'"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar%s","digest":"@%d","size":#%d}],'
        b'"annotations":null}'
    )
    index = (
        b'{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.%s.v1+json","digest":"@%d",'
        b'"size":#%d,"annotations":{"io.containerd.image.name":"a:b","org.opencontainers.image.ref.name":"b"},'
        b'"platform":{"os":"linux","architecture":"amd64","variant":"v1"}}]}'
    )
    plain = manifest % (b"", 0, 0)
    gzipped = manifest % (b"+gzip", 1, 1)
    to_manifest = index % (b"manifest", 3, 3)
    seeds = {
        "docker": [image, docker],
        "layout": [image, plain, to_manifest],
        "gzip": [image, gzipped, to_manifest],
        "both": [image, gzipped, to_manifest, docker],
        "nested": [image, gzipped, to_manifest, index % (b"index", 4, 4)],
        "two-manifests": [image, gzipped, plain, index % (b"manifest", 4, 4), to_manifest],
        "two-layers": [image.replace(b'"@0"', b'"@0","@0"'), docker.replace(b'"blobs/sha256/%0"', b'"blobs/sha256/%0","blobs/sha256/%1"')],
    }
    # A digest that only a link has.
    digits = b"ab" * 32
    for target in [0, 2, 3]:
        parts = [part.replace(b"@%d" % target, b"sha256:" + digits, 1) for part in [plain, to_manifest]]
        link = b">blobs/sha256/%s /blobs/sha256/%%%d" % (digits, target)
        seeds[f"link-{target}"] = [image, *parts, link]
    for name, parts in seeds.items():
        write("documents", name, b"\xff".join(parts))
    keys = set()
    for text in [image, docker, plain, gzipped, to_manifest, index % (b"index", 4, 4)]:
        keys.update(text.decode().split('"')[1::2])
    more = ["null", "\xff", "@2", "%2", "#2", "18446744073709551615", "-1", "1e9", "os.version", "os.features"]
    types = ["application/vnd.docker.distribution.manifest.v2+json", "unknown", "platform", "config"]
    words("documents", sorted(keys) + more + types)


def streams():
    text = b"some text, some more text, some text"
    frame, member = zstd(text), gzip.compress(text, mtime=0)
    plain = {"zstd": frame, "gzip": member, "zstd-twice": frame + frame, "gzip-twice": member + member}
    plain |= {"skip": b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + frame, "none": text, "trailer": member + b"\0" * 64}
    for name, content in plain.items():
        write("decompress", name, b"\0\0" + content)
    for mode in range(1, 10):
        write("decompress", f"mode-{mode}", bytes([mode, mode // 5]) + text + bytes([mode]) + text)


def texts():
    names = [
        "busybox", "a/b:c", "localhost/a", "Host.example:5000/a/b__c-d.e:T_a.g", "[::1]:5000/a:b",
        f"a@sha256:{'0' * 64}", f"docker.io/library/a:b@sha256:{'f' * 64}", "linux/arm64/v8", "windows(10.0)/amd64",
    ]
    for index, name in enumerate(names):
        write("reference", str(index), name.encode())
    call = {"names": ["read", "openat2", "socket"], "action": "SCMP_ACT_ALLOW", "args": None}
    argument = {"index": 0, "value": 40, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}
    conditional = {**call, "args": [argument], "errnoRet": 1, "action": "SCMP_ACT_ERRNO"}
    conditional |= {"includes": {"caps": ["CAP_CHOWN"], "minKernel": "4.8"}, "excludes": {"arches": ["arm64"]}}
    arches = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]
    profiles = [
        {"defaultAction": "SCMP_ACT_ERRNO", "archMap": arches, "syscalls": [call, conditional]},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [conditional]},
        {"defaultAction": "SCMP_ACT_KILL", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "defaultErrnoRet": 38},
        {"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "clone", "action": "SCMP_ACT_NOTIFY"}]},
    ]
    for index, profile in enumerate(profiles):
        write("seccomp", str(index), json.dumps(profile).encode())
    operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
    actions = ["KILL_PROCESS", "KILL_THREAD", "TRAP", "TRACE", "LOG", "NOTIFY"]
    names = ["ioctl", "personality", "ipc", "socketcall", "clone3", "write", "execveat", "CAP_SYS_ADMIN", "amd64"]
    words("seccomp", [
        *(f"SCMP_CMP_{name}" for name in operators), *(f"SCMP_ACT_{name}" for name in actions), *names,
        "index", "value", "valueTwo", "op", "listenerPath", "name", "18446744073709551615", "4294967296", "null",
    ])


tars()
documents()
streams()
texts()
