"""How the layer worker reads: compressions, pieces of any size, ends that come too early, files that grow."""
import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import struct
import subprocess
import tarfile
import tempfile
import threading
import zlib

import host
import layerworker
from harness import equal, has, wait_for
from layerworker import FD_REPORT, run, sanitized, small

FOLLOW_FD, FOLLOW_END = 5, 1 << 62
with open(layerworker.WORKER, "rb") as worker:
    ISAL = b"libisal.so" in worker.read()  # not on every architecture


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_tar(seed=1, size=3 << 20):
    """More than all buffers of the worker together, half of it incompressible."""
    noise = random.Random(seed)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(4):
            data = noise.randbytes(size // 8) + bytes(size // 8)
            info = tarfile.TarInfo(f"file{number}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


TAR = make_tar()


def zstd(data, *args):
    return subprocess.run(["zstd", "-qc", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def members(data, size):
    """Many gzip streams in a row, as estargz has them."""
    return b"".join(gzip.compress(data[at:at + size], 1) for at in range(0, len(data), size))


def with_header(data):
    """Every optional field of RFC 1952: FTEXT FHCRC FEXTRA FNAME FCOMMENT."""
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = raw.compress(data) + raw.flush()
    head = (b"\x1f\x8b\x08\x1f\0\0\0\0\0\x03" + struct.pack("<H", 700) + bytes(700) + b"name\0" + b"comment\0")
    head += struct.pack("<H", zlib.crc32(head) & 0xffff)
    return head + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xffffffff)


FORMS = {
    "plain": TAR, "gzip": gzip.compress(TAR, 6), "gzip, stored": gzip.compress(TAR, 0),
    "gzip of members": members(TAR, 70001), "gzip with an empty member": gzip.compress(b"") + gzip.compress(TAR),
    "gzip with all fields": with_header(TAR), "gzip and zeros": gzip.compress(TAR) + bytes(5000),
    "zstd": zstd(TAR), "zstd of frames": zstd(TAR[:1000]) + zstd(b"") + zstd(TAR[1000:], "-19"),
    "zstd, long": zstd(TAR, "--ultra", "-19", "--long=24"), "xz": lzma.compress(TAR, preset=1), "bzip2": bz2.compress(TAR),
}


def unpack(data, *args, **more):
    with tempfile.TemporaryDirectory(prefix="ctl-test-stream-") as directory:
        done = run("unpack", directory, "--blob", *args, input=data, **more)
        return done, {name: os.path.getsize(f"{directory}/{name}") for name in sorted(os.listdir(directory))}


FILES = {f"file{number}": 3 << 18 for number in range(4)}


def check(done, files, form):
    equal(done.ok, (digest(TAR), 3 << 20, digest(form), len(form)))
    equal(files, FILES)


def test_all_forms_give_the_same():
    for name, form in FORMS.items():
        try:
            check(*unpack(form), form)
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from e


def test_formats_of_tar():
    """Those that tar, pax, GNU tar and what came before them write."""
    long = "/".join(["d" * 60] * 5)
    for form, names in ((tarfile.GNU_FORMAT, ["f" * 99, f"{long}/{'g' * 200}"]), (tarfile.PAX_FORMAT, ["f" * 99, f"{long}/é{'g' * 200}"]),
                        (tarfile.USTAR_FORMAT, ["f" * 99, f"{'d' * 60}/{'e' * 60}/{'g' * 90}"])):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size, info.uid, info.mtime = 3, info_uid(form), 1500000000
                tar.addfile(info, io.BytesIO(b"abc"))
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, names[0] if form == tarfile.USTAR_FORMAT else names[1]
            tar.addfile(info)
        with tempfile.TemporaryDirectory(prefix="ctl-test-stream-") as directory:
            done = run("unpack", directory, input=out.getvalue())
            equal(done.ok[:2], (digest(out.getvalue()), 6))
            for name in names:
                found = os.stat(f"{directory}/{name}")
                equal((found.st_size, found.st_uid, int(found.st_mtime)), (3, info_uid(form), 1500000000), name)
            equal(os.readlink(f"{directory}/link"), info.linkname)
    # Before POSIX: no magic, no prefix.
    old = bytearray(tarfile.TarInfo("old").tobuf(tarfile.USTAR_FORMAT))
    old[257:265] = bytes(8)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    with tempfile.TemporaryDirectory(prefix="ctl-test-stream-") as directory:
        equal(run("unpack", directory, input=bytes(old) + bytes(1024)).ok[1], 0)
        equal(os.listdir(directory), ["old"])


def info_uid(form):
    return 100000 if form == tarfile.USTAR_FORMAT else 3000000


def in_pieces(form, sizes):
    out, into = os.pipe()

    def feed():
        with os.fdopen(into, "wb", buffering=0) as file:
            at = 0
            for size in sizes:
                if at >= len(form):
                    break
                file.write(form[at:at + size])
                at += size
            while at < len(form):
                at += file.write(form[at:])

    feeder = threading.Thread(target=feed)
    feeder.start()
    found = unpack(b"", input_fd=out)
    feeder.join()
    return found


def test_pieces_of_any_size():
    noise = random.Random(2)
    for form in FORMS.values():
        check(*in_pieces(form, [1] * 2000), form)
        check(*in_pieces(form, [noise.randrange(1, 30000) for _ in range(40)]), form)


def test_small_layers():
    for data in (b"", gzip.compress(b""), zstd(b""), bytes(1024), gzip.compress(bytes(10240)), bytes(1 << 20)):
        done, files = unpack(data)
        equal((done.ok[2:], files), ((digest(data), len(data)), {}))


def test_ends_that_come_too_early():
    noise = random.Random(3)
    for name, form in FORMS.items():
        if name == "gzip and zeros":
            continue
        for cut in [noise.randrange(7, len(form) * 3 // 4) for _ in range(4)] + [8, 11, len(form) // 2]:
            done, _ = unpack(form[:cut])
            assert done.error, (name, cut)
    gzip_word = "truncated" if ISAL else "read archive"
    for name, word in (("gzip", gzip_word), ("gzip with all fields", gzip_word), ("zstd", "truncated"),
                       ("xz", "truncated"), ("bzip2", "read archive")):
        has(unpack(FORMS[name][:-3])[0].error, word)


def test_bytes_that_changed():
    noise = random.Random(4)
    for name in "gzip", "gzip of members", "zstd", "xz", "bzip2":
        for _ in range(6):
            form = bytearray(FORMS[name])
            form[noise.randrange(20, len(form) - 20)] ^= 0x55
            done, _ = unpack(bytes(form))
            # zstd's checksum is not obligatory, gzip may differ in a header's name: then the digest tells.
            assert done.last.startswith("error ") or done.ok[0] != digest(TAR) or name == "gzip of members", name
    wrong = FORMS["gzip"][:-8] + bytes(4) + FORMS["gzip"][-4:]
    if ISAL:  # libarchive does not look at it
        has(unpack(wrong)[0].error, "checksum")
    has(unpack(gzip.compress(FORMS["gzip"]))[0].error, "compressed more than once")
    has(unpack(lzma.compress(FORMS["gzip"]))[0].error, "compressed more than once")


def test_limits():
    has(unpack(FORMS["gzip"], "--max-bytes=1000000")[0].error, "larger than")
    has(unpack(TAR, "--max-bytes=1000000")[0].error, "larger than")
    has(unpack(TAR, "--max-entries=3")[0].error, "more than 3 entries")


def xz(data, window):
    return lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": window << 20}])


def test_windows():
    """What a stream wants to look back is most of the memory that it takes: up to 16 MiB it gets."""
    data, short = TAR + bytes(24 << 20), TAR[:100_000]
    for form in zstd(data, "-1", "--long=24"), xz(data, 16):
        done, _ = unpack(form)
        equal(done.ok[0], digest(data))
        small(done)
    for name, form in (("zstd", zstd(short, "-1", "--long=25")), ("zstd", zstd(short, "-1", "--long=27")),
                       ("xz", xz(short, 32))):
        done, files = unpack(form)
        has(done.error, f"{name}: needs a window larger than 16 MiB")
        equal(files, {})
        small(done)
    # Not the first frame, or block, alone decides.
    for form in zstd(TAR) + zstd(short, "-1", "--long=25"), xz(short, 1) + xz(short, 32):
        has(unpack(form)[0].error, "needs a window")


class Growing:
    """A file that grows, and the worker that follows it."""

    def __init__(self, *args, **more_fds):
        self.directory = tempfile.TemporaryDirectory(prefix="ctl-test-stream-")
        self.file = tempfile.NamedTemporaryFile(prefix="ctl-test-stream-")
        self.counter = os.eventfd(0)
        self.found, self.pid = [], None
        self.thread = threading.Thread(target=self.work, args=args, kwargs=more_fds)
        self.thread.start()

    def work(self, *args, report=None):
        source = os.open(self.file.name, os.O_RDONLY)
        fds = {FOLLOW_FD: self.counter, **({FD_REPORT: report} if report else {})}
        self.found.append(run("unpack", self.directory.name, "--blob", "--follow", *args, input_fd=source,
                              more_fds=fds, started=lambda pid: setattr(self, "pid", pid)))

    def status(self, field):
        for line in host.read(f"/proc/{self.pid}/status").splitlines():
            if line.startswith(f"{field}:"):
                return line.split()[1]
        return None

    def add(self, data, told=None, end=False):
        os.pwrite(self.file.fileno(), data, os.fstat(self.file.fileno()).st_size)
        os.eventfd_write(self.counter, (len(data) if told is None else told) + (FOLLOW_END if end else 0))

    def done(self):
        self.thread.join()
        os.close(self.counter)
        self.file.close()
        files = {name: os.path.getsize(f"{self.directory.name}/{name}")
                 for name in sorted(os.listdir(self.directory.name))}
        self.directory.cleanup()
        return self.found[0], files


def test_a_file_that_grows():
    noise = random.Random(5)
    for form in FORMS.values():
        growing, at = Growing(), 0
        while at < len(form):
            size = noise.choice((1, 5, 100, 70000, 400000))
            growing.add(form[at:at + size])
            at += size
        growing.add(b"", end=True)
        check(*growing.done(), form)


def test_only_what_is_said_to_be_valid_is_read():
    form = FORMS["gzip"]
    growing = Growing()
    growing.add(form + b"left over from an earlier try", told=1000)
    growing.add(b"", told=len(form) - 1000, end=True)
    check(*growing.done(), form)


def test_lies_about_what_is_valid():
    growing = Growing()
    growing.add(FORMS["gzip"], told=1 << 40)
    has(growing.done()[0].error, "protocol error")
    growing = Growing()
    growing.add(b"", end=True)
    equal(growing.done()[0].ok[1], 0)
    growing = Growing()
    growing.add(FORMS["gzip"][:5000], end=True)
    assert growing.done()[0].error


def waits(growing):
    """It has locked itself in, and waits for its first byte."""
    wait_for(lambda: growing.pid and growing.status("NoNewPrivs") == "1" and
             (sanitized() or growing.status("Seccomp") == "2") and growing.status("Threads") == "5",
             "the sandbox")


def test_the_sandbox():
    growing = Growing("--max-bytes=3000000")
    waits(growing)
    proc = f"/proc/{growing.pid}"
    kept = sum(1 << bit for bit in (0, 1, 3, 4, 21, 27, 31))  # chown ... mknod, setfcap; sys_admin: trusted.*
    for field in ("CapEff", "CapPrm", "CapBnd"):
        equal(int(growing.status(field), 16), kept, field)
    equal(int(growing.status("CapInh"), 16) | int(growing.status("CapAmb"), 16), 0)
    equal(os.readlink(f"{proc}/root"), growing.directory.name)
    equal(os.readlink(f"{proc}/cwd"), growing.directory.name)
    for kind in ("net", "ipc", "mnt"):
        assert os.readlink(f"{proc}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    limits = {line[:26].strip(): line[26:].split()[:2] for line in host.read(f"{proc}/limits").splitlines()}
    equal(limits["Max file size"], ["3000000"] * 2)
    equal(limits["Max core file size"], ["0"] * 2)
    equal(limits["Max open files"], ["512"] * 2)
    if not sanitized():
        equal(limits["Max address space"], [str(1 << 30)] * 2)
    growing.add(TAR[:-1], end=True)
    has(growing.done()[0].error, "larger than")


def test_it_ends_with_who_started_it():
    """Also if that one was gone before it could be said to; then nothing is touched."""
    reader, report = os.pipe()
    growing = Growing(report=report)
    waits(growing)
    os.close(reader)
    equal(growing.done()[0].code, 1)
    with tempfile.TemporaryDirectory(prefix="ctl-test-stream-") as directory:
        os.chmod(directory, 0o700)
        equal(run("unpack", directory, input=TAR, more_fds={FD_REPORT: report}).code, 1)
        equal(os.listdir(directory), [])
    os.close(report)


def test_keep_and_follow_exclude_each_other():
    has(unpack(b"", "--keep", "--follow")[0].error, "same descriptor")
