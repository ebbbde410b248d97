"""A disk that is full, or that nobody may write to: told by name, survived, and over when there is room."""
import os
import subprocess
from contextlib import contextmanager

import host
from harness import IMAGE, SLOW, STOCK, Daemon, Skip, equal, has, wait_for
from imagemaker import layer
from registries import Fake, Image

SIZE = 24 << 20


@contextmanager
def disk(kind, where):
    """A small file system of its own.  ext2 cannot set blocks aside: nothing is kept for the database."""
    os.makedirs(where)
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", where], check=True)
    else:
        with open(f"{where}.img", "wb") as image:
            image.truncate(SIZE)
        subprocess.run([f"mkfs.{kind}", "-q", "-F", f"{where}.img"], check=True)
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", f"{where}.img", where], check=True)
    try:
        yield where
    finally:
        if os.path.ismount(where):
            subprocess.run(["umount", "-l", where], check=True)
        if os.path.exists(f"{where}.img"):
            os.unlink(f"{where}.img")


def fill(where):
    """Down to the last byte; the name of what took it."""
    name = f"{where}/filler"
    with open(name, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return name


@contextmanager
def small_daemon(kind, which):
    """A daemon whose data or exec root ("data", "run") is a small disk; yields both."""
    if STOCK:
        raise Skip("our own texts")
    d = Daemon(start=False)
    try:
        with disk(kind, f"{d.root}/small") as where:
            setattr(d, which, f"{where}/{which}")
            if which == "data":
                d.names = host.names_of(d.data)
                d.save_names()
            d.start()
            try:
                d.learn_from(d.sleeper())
                d.clean()
                yield d, where
            finally:
                d.close()
    finally:
        if d.process is None:
            d.close()


def no_space(done, where, code=125):
    equal(done.code, code, done)
    has(done.err, where, "no space left on device")


def test_a_full_data_root():
    """What needs no room works; what does says where there is none; room can be made by removing."""
    with small_daemon("tmpfs", "data") as (d, where):
        before = d.settled_census()
        keep = d.sleeper()
        talks = d.run_detached("busybox", "sh", "-c", "trap 'yes | head -c 100000; exit 5' USR1; sleep 1000 & wait")
        ends = d.run_detached("busybox", "sh", "-c", "trap 'exit 7' USR1; sleep 1000 & wait")
        made = d.ok("create", "busybox", "true")
        filler = fill(where)
        no_space(d.ctl("run", "--rm", "busybox", "true"), where)
        no_space(d.ctl("start", made), where, 1)
        no_space(d.ctl("load", "-i", IMAGE), where, 1)
        done = d.ctl("import", "-", "x:1", input=open(IMAGE, "rb").read())
        no_space(done, where, 1)

        equal(d.exec(keep, "echo", "hi"), "hi")
        equal(d.ctl("exec", keep, "sh", "-c", "echo x >/x").code, 1)
        d.ok("restart", "-t", "0", keep)
        d.ok("kill", "-s", "USR1", talks)
        equal(d.ok("wait", talks), "5")
        d.ok("kill", "-s", "USR1", ends)
        equal(d.ok("wait", ends), "7")
        d.ok("rename", talks, "renamed")
        d.ok("rm", "-f", keep)
        d.restart()
        equal((d.state("renamed")["ExitCode"], d.state(ends)["ExitCode"]), (5, 7))
        d.ok("rm", "renamed", ends)

        os.unlink(filler)
        equal(d.shell("echo again"), "again")
        d.ok("start", "-a", made)
        d.ok("load", "-i", IMAGE)
        d.clean()
        d.assert_counts(before)


def test_a_log_emptied_by_hand_on_a_full_disk():
    """What is cut off is taken back from the file as it is now, which does not grow by it."""
    with small_daemon("tmpfs", "data") as (d, where):
        script = "trap 'yes 012345678901234567890123456789 | head -c 30000000; echo > /dev/shm/full' USR1; while :; do sleep 0.1; done"
        c = d.run_detached("busybox", "sh", "-c", script)
        log = d.inspect(c)["LogPath"]
        for _ in range(2):
            d.ok("kill", "-s", "USR1", c)
            wait_for(lambda: d.ctl("exec", c, "rm", "/dev/shm/full").code == 0, "the container to write")
            size = os.path.getsize(log)
            with open(log, "rb") as file:
                assert b"\0" not in file.read(), size
            os.truncate(log, 0)
            with open(f"{where}/taken", "wb") as file:
                file.write(b"x" * (size - (1 << 20)))
        assert 0 < size <= 2 << 20, size
        os.unlink(f"{where}/taken")
        d.ok("rm", "-f", c)


def test_a_pull_that_does_not_fit():
    """Whether its blobs or their files are too many: neither stays, and there is room for others."""
    with small_daemon("tmpfs", "data") as (d, where), Fake() as fake:
        before = sorted(os.listdir(f"{d.data}/blobs/sha256")), sorted(os.listdir(f"{d.data}/layers"))
        small = Image([layer({"small": os.urandom(1 << 20)})])
        fake.add("small", "v1", small)
        for number, sizes in enumerate(([30], [9, 9], [2, 2, 2, 14], [])):
            files = [{f"n{n}": os.urandom(size << 20)} for n, size in enumerate(sizes)]
            fake.add("app", f"v{number}", Image([layer(f) for f in files or [{"zeros": bytes(40 << 20)}]]))
            no_space(d.ctl("pull", f"{fake.host}/app:v{number}"), where, 1)
            wait_for(lambda: not os.listdir(f"{d.data}/tmp") and not os.listdir(f"{d.data}/blobs/partial"),
                     f"what is of no use to go: {sizes}")
            equal((sorted(os.listdir(f"{d.data}/blobs/sha256")), sorted(os.listdir(f"{d.data}/layers"))), before)
            equal(d.shell("echo room"), "room")
            d.ok("pull", "-q", f"{fake.host}/small:v1")
            d.ok("rmi", f"{fake.host}/small:v1")


def test_nothing_is_forgotten_without_a_reserve():
    """The exit code that the database had no room for is known to the next daemon."""
    with small_daemon("ext2", "data") as (d, where):
        before = d.settled_census()
        ends = [d.run_detached("busybox", "sh", "-c", f"trap 'exit {code}' USR1; sleep 1000 & wait")
                for code in (3, 4)]
        filler = fill(where)
        for n in range(2000):
            if d.request("POST", f"/containers/{ends[0]}/rename?name=n{n}").status == 500:
                break
        reply = d.request("POST", f"/containers/{ends[0]}/rename?name=again")
        equal(reply.status, 500)
        has(reply.message, f"{d.data}/db.sqlite: no space left on device")
        for container in ends:
            d.ok("kill", "-s", "USR1", container)
        equal(d.ok("wait", *ends).split(), ["3", "4"])
        d.kill9()
        os.unlink(filler)
        d.start()
        equal([d.state(c)["ExitCode"] for c in ends], [3, 4])
        equal([d.state(c)["Status"] for c in ends], ["exited"] * 2)
        equal(d.shell("echo again"), "again")
        d.clean()
        d.assert_counts(before)


def test_a_full_exec_root():
    with small_daemon("tmpfs", "run") as (d, where):
        before = d.settled_census()
        keep = d.sleeper()
        ends = d.run_detached("busybox", "sh", "-c", "trap 'exit 6' USR1; sleep 1000 & wait")
        filler = fill(where)
        done = d.ctl("run", "--rm", "busybox", "true")
        if done.code != 0:  # a socket and a directory are no blocks on this file system
            no_space(done, where)
        equal(d.exec(keep, "echo", "hi"), "hi")
        d.ok("kill", "-s", "USR1", ends)
        equal(d.ok("wait", ends), "6")
        d.restart()
        equal(d.state(ends)["ExitCode"], 6)
        equal(d.exec(keep, "echo", "hi"), "hi")
        os.unlink(filler)
        equal(d.shell("echo again"), "again")
        d.clean()
        d.assert_counts(before)


def test_no_inodes_left():
    """Bytes there are, but no file can be made."""
    with small_daemon("tmpfs", "data") as (d, where):
        before = d.settled_census()
        keep = d.sleeper()
        made = []
        try:
            subprocess.run(["mount", "-o", f"remount,nr_inodes={len_inodes(where)}", where], check=True)
            while True:
                made.append(f"{where}/i{len(made)}")
                os.mkdir(made[-1])
        except OSError:
            made.pop()
        no_space(d.ctl("run", "--rm", "busybox", "true"), where)
        equal(d.exec(keep, "echo", "hi"), "hi")
        d.ok("rm", "-f", keep)
        for name in made:
            os.rmdir(name)
        equal(d.shell("echo again"), "again")
        d.clean()
        d.assert_counts(before)


def len_inodes(where):
    found = os.statvfs(where)
    return found.f_files - found.f_ffree + 20


def test_roots_that_are_read_only():
    if STOCK:
        raise Skip("our own texts")
    for which in ("data", "run"):
        d = Daemon(start=False)
        try:
            with disk("tmpfs", f"{d.root}/small") as where:
                setattr(d, which, f"{where}/{which}")
                subprocess.run(["mount", "-o", "remount,ro", where], check=True)
                process = d.spawn()
                equal(process.wait(30 * SLOW), 1)
                has(host.read(d.log), getattr(d, which), "read-only file system")
                equal(host.processes(d.root), set())
        finally:
            d.close()


def test_a_data_root_that_becomes_read_only():
    """As ext4 does after an error: nothing new, but what runs is served."""
    with small_daemon("ext4", "data") as (d, where):
        keep, down = d.sleeper(), d.sleeper()
        d.ok("stop", "-t", "0", down)
        device = os.stat(where).st_dev
        block = os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
        trigger = f"/sys/fs/ext4/{os.path.basename(block)}/trigger_fs_error"
        with open(trigger, "w") as file:
            file.write("test")
        for args in (("start", down), ("rename", keep, "renamed"), ("rm", "-f", down), ("load", "-i", IMAGE)):
            done = d.ctl(*args)
            equal(done.code, 1, args)
            has(done.err, where, "read-only file system")
        equal(d.exec(keep, "echo", "hi"), "hi")
        d.ok("kill", keep)
        equal(d.ok("wait", keep), "137")
        has(d.ok("ps", "-a"), "Exited (137)")
