"""Runs containerd-lite-layer without a daemon, by the words of daemon/storage/layer_protocol.h."""
import fcntl
import os
import subprocess
import tempfile
import threading
import time

from harness import BUILD, SLOW

WORKER = f"{BUILD}/bin/containerd-lite-layer"
FD_REPORT, FD_DIR, FD_LOWER = 3, 4, 5


class Done:
    """What the worker said and wrote."""

    def __init__(self, code, reports, out, peak=0):
        self.code, self.out, self.peak = code, out, peak  # KiB of resident memory
        self.lines = reports.decode().splitlines()
        self.last = self.lines[-1] if self.lines else ""

    @property
    def ok(self):
        """(diff id, bytes, blob digest, length)"""
        word, diff, size, blob, length = self.last.split()
        assert word == "ok" and self.code == 0, (self.code, self.last)
        return diff, int(size), blob, int(length)

    @property
    def error(self):
        word, _, text = self.last.partition(" ")
        assert word == "error" and self.code == 1, (self.code, self.lines)
        return text

    @property
    def changes(self):
        return [f"{record[:1].decode()} {record[1:].decode(errors='surrogateescape')}"
                for record in self.out.split(b"\0")[:-1]]


def high(fd):
    """Out of the way of the numbers that the worker expects."""
    new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 400)
    os.close(fd)
    return new


def drain(fd, into):
    with os.fdopen(fd, "rb") as file:
        into.append(file.read())


def watch(pid, into):
    """The peak so far, again and again until there is none any more: what wait4() tells is the parent's,
    if that was larger."""
    while True:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                found = [line for line in file if line.startswith("VmHWM:")]
        except OSError:
            return
        if not found:
            return
        into.append(int(found[0].split()[1]))
        time.sleep(0.005)


def run(command, directory, *args, input=b"", input_fd=None, lowers=(), more_fds={}, limit=120, started=None):
    """input: bytes, or input_fd (taken).  more_fds: {number: descriptor} (borrowed), which
    may stand for standard output and for the reports too.  started(pid) is called when it runs."""
    if input_fd is None:
        with tempfile.TemporaryFile() as file:
            file.write(input)
            file.flush()
            file.seek(0)
            input_fd = os.dup(file.fileno())
    fds = {0: high(input_fd), FD_DIR: high(os.open(directory, os.O_RDONLY | os.O_DIRECTORY))}
    for number, path in enumerate(lowers):
        fds[FD_LOWER + number] = high(os.open(path, os.O_RDONLY | os.O_DIRECTORY))
    for number, fd in more_fds.items():
        fds[number] = high(os.dup(fd))
    ends, outputs = {}, {}
    for number in {1, FD_REPORT} - set(more_fds):
        ends[number], fds[number] = map(high, os.pipe())
        outputs[number] = []
    pid = os.posix_spawn(
        WORKER, [WORKER, command, *([f"--lowers={len(lowers)}"] if lowers else []), *args], os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items()])
    if started:
        started(pid)
    peaks = []
    watcher = threading.Thread(target=watch, args=(pid, peaks))
    watcher.start()
    for fd in fds.values():
        os.close(fd)
    readers = [threading.Thread(target=drain, args=(ends[n], outputs[n])) for n in ends]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join(limit * SLOW)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    watcher.join()
    # The first look may still have seen this process, before it became the worker.
    return Done(status, *(outputs.get(n, [b""])[0] for n in (FD_REPORT, 1)), peaks[-1] if peaks else 0)


def sanitized():
    with open(WORKER, "rb") as file:
        return b"__asan" in file.read()


def small(done):
    """32 MiB of resident memory, if it is the program's own and not a sanitizer's."""
    assert done.peak < 32 << 10 or sanitized(), done.peak


def in_overlay(lowers, upper, script):
    """Let a shell change an overlay in a mount namespace of its own: its working directory."""
    work = upper + ".work"
    merged = upper + ".merged"
    os.makedirs(upper, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    os.makedirs(merged, exist_ok=True)
    options = (f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work},"
               "index=off,metacopy=off,redirect_dir=off")
    subprocess.run(["unshare", "-m", "sh", "-euc",
                    f"mount -t overlay overlay -o {options} {merged}; cd {merged}; {script}"], check=True)
