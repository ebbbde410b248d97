"""What a daemon under test leaves on the host: processes, mounts, cgroups, links, nftables elements,
descriptors, rows, directories.  Counting them, and removing them after a crash."""
import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

PREFIX = "/tmp/ctl-test-"
OWNER = "owner"        # in a root: "PID STARTTIME" of the process the root belongs to
NAMES = "names.json"   # in a root: names of kernel objects, as soon as they are known


def names_of(data_root):
    """Names of a daemon's kernel objects: they carry a mark that follows from the data root (FNV-1a)."""
    mark = 2166136261
    for byte in data_root.encode():
        mark = (mark ^ byte) * 16777619 & 0xffffffff
    return {"bridge": f"ctl-{mark:08x}", "bridge_is_ours": True,
            "table": ("ip", f"containerd-lite-{mark:08x}"), "cgroup_parent": f"/ctl-{mark:08x}"}


def save_names(root, names):
    with open(f"{root}/{NAMES}.new", "w") as file:
        json.dump(names, file)
    os.rename(f"{root}/{NAMES}.new", f"{root}/{NAMES}")


def read(path, default=""):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return default


# Processes

def start_time(pid):
    """Field 22 of /proc/PID/stat: with the pid it names a process for ever."""
    stat = read(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else None


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


@contextlib.contextmanager
def stopped_threads(pid):
    """Stop all threads of a process but its first: those of a pool."""
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    stopped = []

    def ptrace(request, tid):
        if libc.ptrace(request, tid, None, None) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {tid}")

    try:
        for tid in (int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid):
            ptrace(seize, tid)
            ptrace(interrupt, tid)
            os.waitpid(tid, wall)
            stopped.append(tid)
        yield
    finally:
        for tid in stopped:
            ptrace(detach, tid)


def links(pid):
    """Everything a process holds by path: cwd, exe and descriptors."""
    for name in ("cwd", "exe"):
        try:
            yield os.readlink(f"/proc/{pid}/{name}")
        except OSError:
            pass
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                yield os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                pass
    except OSError:
        pass


def processes(root):
    """Pids of daemon and shims of this root, and of all their descendants."""
    slash = root + "/"
    parents, found = {}, set()
    for pid in pids():
        if pid == os.getpid():
            continue
        stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if not stat or stat[0] == "Z":
            continue
        parents[pid] = int(stat[1])
        if slash in read(f"/proc/{pid}/cmdline") or any(l.startswith(slash) for l in links(pid)):
            if pid != os.getppid():
                found.add(pid)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        grown = bool(more)
        found |= more
    return found


# Mounts and cgroups

def mounts(text):
    """Lines of the host's mount table that mention the text."""
    return [line for line in read("/proc/self/mountinfo").splitlines() if text in line]


def hierarchies():
    """{controller list or '' for v2: mount point}"""
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", left.split()[4])
        elif kind == "cgroup":
            names = [o for o in options.split(",") if o not in ("rw", "ro") and "xattr" not in o]
            found.setdefault(",".join(names), left.split()[4])
    return found


def pure_v2():
    return list(hierarchies()) == [""]


def cgroup_file(pid, controller, name):
    """Path of a control file in the cgroup that a process is in; None without that controller."""
    mounted = hierarchies()
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and controllers in mounted:
            return f"{mounted[controllers]}{path}/{name}"
    return None


def cgroup_dirs(parent):
    """Every cgroup below (and including) the path, in all hierarchies, deepest first."""
    found = []
    for mount in set(hierarchies().values()):
        for path, _, _ in os.walk(mount + parent, topdown=False):
            found.append(path)
    return found


class Favordynmods:
    """A daemon may switch this mount option of cgroup2 on; the machine gets it back as it was.

    mount(8) cannot take the option away again; mount(2) with empty data does."""
    MS_REMOUNT = 32

    @staticmethod
    def point():
        return hierarchies().get("")

    @classmethod
    def is_on(cls):
        return any(" cgroup2 " in line and "favordynmods" in line
                   for line in read("/proc/self/mountinfo").splitlines())

    def __init__(self):
        self.before = self.is_on()

    def restore(self):
        if self.before or not self.is_on():
            return
        libc = ctypes.CDLL(None, use_errno=True)
        point = self.point().encode()
        if libc.mount(b"none", point, b"cgroup2", self.MS_REMOUNT, b"") != 0:
            raise OSError(ctypes.get_errno(), "remount cgroup2 without favordynmods")


# Links and nftables

def tool(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode(errors="replace")


def veths():
    return json.loads(tool("ip", "-j", "link", "show", "type", "veth") or "[]")


def nft_tables():
    listed = json.loads(tool("nft", "-j", "list", "tables") or '{"nftables": []}')["nftables"]
    return {(t["table"]["family"], t["table"]["name"]) for t in listed if "table" in t}


def nft_elements(table):
    """Number of elements in the sets and maps of a (family, name) table."""
    if not table:
        return 0
    listed = json.loads(tool("nft", "-j", "list", "table", *table) or '{"nftables": []}')
    return sum(len(entry[kind].get("elem", [])) for entry in listed["nftables"]
               for kind in ("set", "map") if kind in entry)


def user_bridges(table):
    """Bridges of networks that users made and a test left behind."""
    return set(re.findall(r'"(br-[0-9a-f]{12})"', tool("nft", "list", "table", *table) or ""))


def nft_table_of(bridge):
    for table in sorted(nft_tables()):
        if bridge and f'"{bridge}"' in tool("nft", "list", "table", *table):
            return table
    return None


# Roots

def rows(data_root):
    """{table: number of rows} of the daemon's database."""
    try:
        with sqlite3.connect(f"file:{data_root}/db.sqlite?mode=ro", uri=True, timeout=10) as db:
            names = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type='table'"
                                              " AND name NOT LIKE 'sqlite_%'")]
            return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                    for name in names}
    except sqlite3.Error as error:
        return {"unreadable": str(error)}


def directories(*roots):
    """Directories down to the level of one container, image or layer."""
    found = set()
    for root in roots:
        for path, names, _ in os.walk(root):
            found |= {os.path.join(path, name) for name in names}
            if path.count("/") - root.count("/") >= 2:
                names.clear()
    return found


def descriptors(pid):
    """{what: number} of a process's descriptors; sockets and the like without their inode number."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            what = os.readlink(f"/proc/{pid}/fd/{fd}").partition(":[")[0]
        except OSError:
            continue
        found[what] = found.get(what, 0) + 1
    return found


def describe(root):
    """What those processes are and wait for, for whoever must find out why they are there."""
    found = ""
    for pid in sorted(processes(root)):
        words = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:2]
        found += (f"\n  {pid} {' '.join(state)} {words[:200]} waits in {read(f'/proc/{pid}/wchan')}, "
                  f"has {sorted(links(pid))[:40]}")
    return found


def census(root, data, run, daemon_pid, names):
    """Everything countable, as {kind: comparable value}."""
    ours = processes(root)
    prefix = names.get("veth_prefix") or "\0"
    bridge = names.get("bridge")
    found = {
        "processes": len(ours),
        "mounts": len(mounts(root)),
        "netns": len({os.stat(f"/proc/{p}/ns/net").st_ino for p in ours
                      if os.path.exists(f"/proc/{p}/ns/net")}),
        "veths": len([v for v in veths() if v.get("master") == bridge
                      or v["ifname"].startswith(prefix)]),
        "nft elements": nft_elements(names.get("table") and tuple(names["table"])),
        "directories": len(directories(data, run)),
    }
    if names.get("cgroup_parent"):
        found["cgroups"] = len(cgroup_dirs(names["cgroup_parent"]))
    if daemon_pid:
        found["daemon"] = daemon_pid
        # The journal of events goes on in the next file when one is full.
        found.update({"descriptors: " + re.sub(r"/events/\d+\.jsonl", "/events/N.jsonl", what.replace(root, "")): count
                      for what, count in descriptors(daemon_pid).items()})
    found.update({f"rows: {table}": count for table, count in rows(data).items()})
    return found


def differences(before, after):
    return {kind: (before.get(kind), after.get(kind)) for kind in {**before, **after}
            if before.get(kind) != after.get(kind)}


def settle(pid, limit):
    deadline = time.monotonic() + limit
    while start_time(pid) and time.monotonic() < deadline:
        if read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] == ["Z"]:
            return
        time.sleep(0.01)


def remove_root(root):
    """End everything that belongs to a root and remove what it made.  Never fails halfway."""
    try:
        names = json.loads(read(f"{root}/{NAMES}", "{}"))
    except ValueError:
        names = {}
    cgroups = cgroup_dirs(names["cgroup_parent"]) if names.get("cgroup_parent") else []
    for _ in range(20):
        victims = processes(root)
        for path in cgroups:
            victims |= {int(pid) for pid in read(f"{path}/cgroup.procs").split()}
            frozen = f"{path}/freezer.state"
            if os.path.exists(frozen) and read(frozen).strip() != "THAWED":
                try:
                    with open(frozen, "w") as file:
                        file.write("THAWED")
                except OSError:
                    pass
        victims -= {0, os.getpid(), os.getppid()}
        if not victims:
            break
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in victims:
            settle(pid, 2)
    for path in cgroups:
        for _ in range(100):
            try:
                os.rmdir(path)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
    if names.get("bridge_is_ours"):
        tool("ip", "link", "del", names["bridge"])
    if names.get("table"):
        for bridge in user_bridges(names["table"]):
            tool("ip", "link", "del", bridge)
        for family in ("ip", "ip6"):
            tool("nft", "delete", "table", family, names["table"][1])
    for line in reversed(mounts(root)):
        tool("umount", "-l", line.split()[4].replace("\\040", " "))
    shutil.rmtree(root, ignore_errors=True)


def sweep():
    """Remove the roots of earlier runs whose process is gone."""
    base = os.path.dirname(PREFIX)
    for name in os.listdir(base):
        root = os.path.join(base, name)
        owner = read(f"{root}/{OWNER}").split()
        if root.startswith(PREFIX) and owner and start_time(owner[0]) != owner[1]:
            remove_root(root)


def remove_cgroups(name):
    """A parent cgroup that containers of a test were told to be in, and what is in it, in all hierarchies: nobody else knows that it is done with."""
    for top in glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(f"/sys/fs/cgroup/{name}"):
        for path, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
