"""Root file systems the tests and benchmarks make images from.

Nothing is pulled: busybox is Debian's static one, Debian is made by debootstrap from the package
mirror, and the large image is generated. They are made once and kept in FIXTURES.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tarfile

FIXTURES = pathlib.Path(os.environ.get("SKIFF_FIXTURES", "/var/tmp/skiff-fixtures"))

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
app:x:1000:1000:app:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = """root:x:0:
daemon:x:1:
wheel:x:10:root,app
audio:x:29:app
www-data:x:33:
app:x:1000:
nobody:x:65534:
"""


def _atomic(path, make):
    """Makes `path` by `make(temporary path)` unless it is there already."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    make(partial)
    os.replace(partial, path)
    return path


def _tar(root, target):
    subprocess.run(["tar", "--sort=name", "--numeric-owner", "--xattrs", "-C", root, "-cf", target, "."], check=True)


def busybox_tar():
    """A root file system of busybox with every applet linked."""

    def make(target):
        root = FIXTURES / f"busybox.{os.getpid()}"
        for name in ("bin", "etc", "home/app", "root", "tmp", "usr", "var/www", "proc", "sys", "dev"):
            (root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin/busybox")
        for applet in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        os.chmod(root / "tmp", 0o1777)
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        _tar(root, target)
        shutil.rmtree(root)

    return _atomic(FIXTURES / "busybox.tar", make)


def debian_tar():
    """A minimal Debian, by debootstrap."""

    def make(target):
        root = FIXTURES / f"debian.{os.getpid()}"
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", root, "http://deb.debian.org/debian"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        _tar(root, target)
        shutil.rmtree(root)

    return _atomic(FIXTURES / "debian.tar", make)


def many_files_tar(files=25_000, total=1 << 30):
    """About `total` bytes in `files` files, as compressible as program files are (to some 35 %)."""

    def make(target):
        rng = random.Random(42)
        words = [rng.randbytes(rng.randint(3, 9)) for _ in range(4096)]
        pool = b"".join(rng.choice(words) if rng.random() < 0.93 else rng.randbytes(6) for _ in range(1 << 20))
        mean = total / files
        with tarfile.open(target, "w") as tar:
            for i in range(files):
                size = min(int(rng.paretovariate(1.3) * mean * 0.22), 8 << 20)
                info = tarfile.TarInfo(f"usr/lib/d{i // 250:03}/f{i:05}")
                info.size, info.mtime = size, 1_700_000_000
                tar.addfile(info, _Repeat(pool, rng.randrange(len(pool)), size))

    return _atomic(FIXTURES / f"files-{files}-{total >> 20}.tar", make)


class _Repeat:
    """A file-like view of `pool`, read round from `start`."""

    def __init__(self, pool, start, size):
        self.pool, self.at, self.left = pool, start, size

    def read(self, n):
        out = bytearray()
        n = min(n, self.left)
        while len(out) < n:
            piece = self.pool[self.at : self.at + n - len(out)]
            self.at = (self.at + len(piece)) % len(self.pool)
            out += piece
        self.left -= n
        return bytes(out)


if __name__ == "__main__":
    for made in (busybox_tar(), debian_tar()):
        print(made)
