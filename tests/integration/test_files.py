"""What the container sees of files: mounts, propagation, tmpfs, hosts, hostname, resolv.conf."""
import os
import subprocess

import host
import imagemaker
from harness import SLOW, STOCK, Daemon, equal, has


def directory(d, name, **files):
    path = f"{d.root}/{name}"
    os.makedirs(path, exist_ok=True)
    for file_name, content in files.items():
        with open(f"{path}/{file_name}", "w") as file:
            file.write(content)
    return path


def test_bind(d):
    path = directory(d, "bound", file="from host\n")
    equal(d.shell("cat /in/file; echo back >/in/answer", "-v", f"{path}:/in"), "from host")
    equal(host.read(f"{path}/answer"), "back\n")


def test_bind_read_only(d):
    path = directory(d, "ro", file="x")
    has(d.ctl("run", "--rm", "-v", f"{path}:/in:ro", "busybox", "touch", "/in/y").err, "Read-only file system")
    has(d.ctl("run", "--rm", "--mount", f"type=bind,src={path},dst=/in,readonly", "busybox", "touch", "/in/y").err,
        "Read-only file system")
    equal(os.listdir(path), ["file"])


def test_bind_of_a_file(d):
    path = directory(d, "single", config="content\n")
    equal(d.shell("cat /etc/deep/er/config", "-v", f"{path}/config:/etc/deep/er/config"), "content")


def test_bind_source(d):
    missing = f"{d.root}/made/by/bind"
    d.ok("run", "--rm", "-v", f"{missing}:/in", "busybox", "true")
    assert os.path.isdir(missing)
    reply = d.api("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["true"], "HostConfig": {"Mounts": [
            {"Type": "bind", "Source": "/no/such", "Target": "/in"}]}}, status=400)
    has(reply.message, 'invalid mount config for type "bind": bind source path does not exist: /no/such')


def test_duplicate_mount_point(d):
    has(d.fails(125, "run", "--rm", "-v", "/tmp:/in", "-v", "/var:/in", "busybox", "true"),
        "Duplicate mount point: /in")


def test_many_binds(d):
    def create(n):
        return d.request("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", "mount | grep -c /many/"],
                         "HostConfig": {"Binds": [f"/etc/hostname:/many/{i}" for i in range(n)]}})
    equal(create(401).status, 400)
    has(create(401).json["message"], "more than 400 binds")
    id = create(400).json["Id"]
    equal(d.ok("start", "-a", id), "400")
    d.ok("rm", id)


def test_bind_destination_does_not_leave_the_root(d):
    """A link in the image is followed inside the container only."""
    path = directory(d, "inside", file="inside")
    container = d.ok("create", "-v", f"{path}:/link/target", "busybox", "cat", "/link/target/file")
    equal(d.ok("start", "-a", container), "inside")
    outside = directory(d, "outside")
    d.ok("run", "--name", "linked", "busybox", "ln", "-s", outside, "/link")
    equal(os.listdir(outside), [])
    equal(d.shell(f"ln -s {outside}/x /l; echo y >/l; ls {outside} 2>&1 | grep -c 'No such'; true"), "1")
    equal(os.listdir(outside), [])


def test_propagation(d):
    """private by default; a shared bind carries mounts both ways, a slave one only inwards."""
    path = directory(d, "tree")
    subprocess.run(["mount", "-t", "tmpfs", "ctl-test", path], check=True)
    try:
        subprocess.run(["mount", "--make-shared", path], check=True)
        made = {}
        for mode in ("rprivate", "rslave", "rshared"):
            container = d.sleeper("-v", f"{path}:/tree:{mode}")
            made[mode] = container
            equal(d.inspect(container)["Mounts"][0]["Propagation"], mode)
        plain = d.sleeper("-v", f"{path}:/tree")
        equal(d.inspect(plain)["Mounts"][0]["Propagation"], "rprivate")
        os.mkdir(f"{path}/late")
        subprocess.run(["mount", "-t", "tmpfs", "ctl-late", f"{path}/late"], check=True)
        seen = {mode: "ctl-late" in d.exec(c, "cat", "/proc/mounts") for mode, c in made.items()}
        equal(seen, {"rprivate": False, "rslave": True, "rshared": True})
        assert "ctl-late" not in d.exec(plain, "cat", "/proc/mounts")
        subprocess.run(["umount", f"{path}/late"], check=True)
        assert "ctl-late" not in d.exec(made["rshared"], "cat", "/proc/mounts")
        equal(d.exec(made["rshared"], "cat", "/proc/mounts").count(" /tree "), 1)
    finally:
        d.clean()
        subprocess.run(["umount", "-R", path], check=False)


def test_recursive_bind(d):
    path = directory(d, "outer/inner")
    subprocess.run(["mount", "-t", "tmpfs", "ctl-inner", path], check=True)
    try:
        with open(f"{path}/file", "w") as file:
            file.write("deep")
        equal(d.shell("cat /in/inner/file", "-v", f"{d.root}/outer:/in"), "deep")
        if not STOCK:  # read-only is recursive since 1.44
            has(d.ctl("run", "--rm", "-v", f"{d.root}/outer:/in:ro", "busybox", "touch", "/in/inner/x").err,
                "Read-only file system")
    finally:
        d.clean()
        subprocess.run(["umount", path], check=True)


def test_no_container_mount_on_the_host(d):
    before = len(host.read("/proc/self/mountinfo").splitlines())
    container = d.sleeper("--tmpfs", "/scratch")
    if not STOCK:
        equal(host.mounts(container), [])
        equal([line for line in host.mounts(d.root)], [])
        assert len(host.read("/proc/self/mountinfo").splitlines()) <= before + 1


def test_host_mounts_are_not_inside(d):
    out = d.shell("cat /proc/self/mountinfo")
    points = [line.split()[4] for line in out.splitlines()]
    for point in points:
        assert point == "/" or point.split("/")[1] in ("proc", "sys", "dev", "etc"), point


def test_tmpfs(d):
    out = d.shell("grep ' /scratch ' /proc/mounts; echo x >/scratch/f; stat -c %a /scratch",
                  "--tmpfs", "/scratch:size=65536k,mode=1770")
    has(out, "tmpfs /scratch tmpfs rw,nosuid,nodev,noexec", "size=65536k", "1770")
    out = d.shell("grep ' /m ' /proc/mounts", "--mount", "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=0700")
    has(out, "size=1024k", "mode=700")


def test_mode_of_a_tmpfs(d):
    """That of the directory below it, unless one is asked for; without either it is anybody's."""
    for option, target, wanted in (("--tmpfs=/root", "/root", "700"), ("--tmpfs=/root:ro", "/root", "700"),
                                   ("--tmpfs=/root:size=1m,mode=1711", "/root", "1711"), ("--tmpfs=/new", "/new", "1777"),
                                   ("--mount=type=tmpfs,dst=/root", "/root", "700"),
                                   ("--mount=type=tmpfs,dst=/root,tmpfs-mode=0750", "/root", "750")):
        if STOCK and "mode=" in option:
            continue  # runc has it from 1.1.8 on
        equal(d.shell(f"stat -c %a {target}; grep -c ' {target} tmpfs ' /proc/mounts", option), f"{wanted}\n1", option)
    equal(d.shell("touch /root/x 2>&1; grep -o ' /root tmpfs r[ow],' /proc/mounts", "--tmpfs=/root:ro"),
          "touch: /root/x: Read-only file system\n /root tmpfs ro,")
    if not STOCK:
        equal(d.shell("stat -c %a,%u /root", "--userns", "auto", "--tmpfs=/root:ro"), "700,0")


def test_shm_and_mqueue(d):
    out = d.shell("grep -E ' /dev/(shm|mqueue|pts) ' /proc/mounts")
    has(out, "shm /dev/shm tmpfs", "size=65536k", "mqueue /dev/mqueue mqueue", "devpts /dev/pts devpts")
    has(d.shell("grep /dev/shm /proc/mounts", "--shm-size", "8m"), "size=8192k")


def test_read_only_root(d):
    done = d.ctl("run", "--rm", "--read-only", "--tmpfs", "/tmp", "busybox", "sh", "-c",
                 "touch /tmp/ok && echo tmp; touch /x; touch /etc/x; echo x >/dev/null && echo dev")
    equal(done.out, "tmp\ndev\n")
    equal(done.err.count("Read-only file system"), 2)


def test_hostname(d):
    equal(d.shell("hostname; cat /etc/hostname; echo $HOSTNAME", "--hostname", "box"), "box\nbox\nbox")
    container = d.sleeper()
    equal(d.exec(container, "hostname"), container[:12])
    has(d.shell("hostname -f", "--hostname", "box", "--domainname", "example.test"), "box")


def test_hosts(d):
    out = d.shell("cat /etc/hosts", "--hostname", "box", "--add-host", "other:10.1.2.3")
    has(out, "127.0.0.1\tlocalhost", "10.1.2.3\tother", "\tbox")
    address = [l.split()[0] for l in out.splitlines() if l.endswith("\tbox")][0]
    equal(d.shell("ip -4 addr show eth0 | grep -c inet"), "1")
    assert address.count(".") == 3, out


def test_resolv_conf(d):
    out = d.shell("cat /etc/resolv.conf", "--dns", "9.9.9.9", "--dns-search", "example.test", "--dns-option", "ndots:3")
    has(out, "nameserver 9.9.9.9", "search example.test", "options ndots:3")
    has(d.shell("cat /etc/resolv.conf"), "nameserver")


def test_etc_files_are_the_containers_own(d):
    container = d.sleeper()
    d.exec(container, "sh", "-c", "echo 10.9.9.9 mine >>/etc/hosts")
    has(d.exec(container, "cat", "/etc/hosts"), "10.9.9.9 mine")
    has(host.read(d.inspect(container)["HostsPath"]), "10.9.9.9 mine")
    assert "10.9.9.9" not in d.shell("cat /etc/hosts")
    with open(d.inspect(container)["ResolvConfPath"], "w") as file:
        file.write("nameserver 192.0.2.1\n")
    equal(d.exec(container, "cat", "/etc/resolv.conf"), "nameserver 192.0.2.1")


def test_proc_and_sys_are_the_containers(d):
    equal(d.shell("set -- /proc/[0-9]*; echo $*; ls /sys/class/net"), "/proc/1\neth0\nlo")


def test_umask_and_root_mode(d):
    equal(d.shell("umask; stat -c %a / /proc /dev/shm"), "0022\n755\n555\n1777")


def test_roots_are_closed(d):
    if STOCK:
        return
    for path in (d.data, d.run):
        assert os.stat(path).st_mode & 0o777 in (0o700, 0o711, 0o710), (path, oct(os.stat(path).st_mode))


def test_full_disk_is_told_by_name():
    if STOCK:
        return
    small = "/tmp/ctl-small"
    os.makedirs(small, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "ctl-small", small], check=True)
    try:
        with Daemon(data=f"{small}/data") as d:
            d.run_detached("--network", "none", "busybox", "true")
            with open(f"{small}/filler", "wb") as file:
                try:
                    while True:
                        file.write(b"x" * 65536)
                        file.flush()
                except OSError:
                    pass
            done = d.ctl("load", input=imagemaker.docker_archive([imagemaker.layer({"f": b"x" * 8000000})], ["big:1"]))
            equal(done.code, 1)
            has(done.err, "no space left on device")
            os.unlink(f"{small}/filler")
            equal(d.ok("run", "--rm", "--network", "none", "busybox", "echo", "again"), "again")
    finally:
        subprocess.run(["umount", "-l", small], check=True)
        os.rmdir(small)


def test_read_only_data_root_is_told_by_name():
    if STOCK:
        return
    path = "/tmp/ctl-ro"
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "ctl-ro", path], check=True)
    try:
        with Daemon(data=f"{path}/data", start=False) as d:
            assert d.spawn().wait(30 * SLOW) != 0
            has(host.read(d.log), f"{path}/data", "read-only file system")
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        os.rmdir(path)


def test_mark_of_a_container(d):
    """Programs find out by this file that they run in one."""
    d.ok("run", "--rm", "busybox", "test", "-f", "/.dockerenv")
