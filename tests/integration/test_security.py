"""What the process may do: capabilities, seccomp, masked paths, privileges, user namespaces."""
import json
import os

import host
from harness import STOCK, equal, has

DEFAULT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
           "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_RAW": 13, "SYS_CHROOT": 18, "MKNOD": 27,
           "AUDIT_WRITE": 29, "SETFCAP": 31}


def mask(*names):
    return sum(1 << DEFAULT[name] for name in names)


def status(d, *options, field):
    return d.shell(f"grep {field}: /proc/self/status", *options).split()[1]


def host_bounding_set():
    return int([l for l in host.read("/proc/self/status").splitlines() if l.startswith("CapBnd")][0].split()[1], 16)


def test_default_capabilities(d):
    wanted = mask(*DEFAULT)
    for field in ("CapBnd", "CapEff", "CapPrm"):
        equal(int(status(d, field=field), 16), wanted, field)
    equal(int(status(d, field="CapInh"), 16), 0)
    equal(int(status(d, field="CapAmb"), 16), 0)


def test_other_users_have_none(d):
    equal(int(status(d, "-u", "1000", field="CapEff"), 16), 0)
    equal(int(status(d, "-u", "1000", field="CapBnd"), 16), mask(*DEFAULT))


def test_add_and_drop(d):
    equal(int(status(d, "--cap-drop", "ALL", field="CapEff"), 16), 0)
    equal(int(status(d, "--cap-drop", "ALL", "--cap-add", "CHOWN", field="CapBnd"), 16), mask("CHOWN"))
    equal(int(status(d, "--cap-drop", "CAP_MKNOD", "--cap-drop", "net_raw", field="CapEff"), 16),
          mask(*DEFAULT) & ~mask("MKNOD", "NET_RAW"))
    equal(int(status(d, "--cap-add", "NET_ADMIN", field="CapEff"), 16), mask(*DEFAULT) | 1 << 12)
    has(d.fails(125, "run", "--rm", "--cap-add", "NONSENSE", "busybox", "true").upper(), "NONSENSE")


def test_all_and_privileged_leave_out_what_the_host_lacks(d):
    if STOCK:
        return  # fails there
    everything = host_bounding_set()
    equal(int(status(d, "--cap-add", "ALL", field="CapEff"), 16), everything)
    equal(int(status(d, "--privileged", field="CapEff"), 16), everything)


def test_privileged(d):
    if STOCK:
        return
    out = d.shell("grep Seccomp: /proc/self/status; mount -t tmpfs t /mnt 2>/dev/null || "
                  "(mkdir -p /mnt && mount -t tmpfs t /mnt) && echo mounted; "
                  "touch /proc/sys/kernel/domainname && echo writable; ls /dev | wc -l", "--privileged")
    has(out, "Seccomp:\t0", "mounted", "writable")
    assert int(out.split()[-1]) > 30, out


def test_seccomp_filter(d):
    has(status(d, field="Seccomp"), "2")
    for script in ("unshare -m true", "unshare -U true", "mount -t tmpfs t /tmp"):
        done = d.ctl("run", "--rm", "busybox", "sh", "-c", script)
        assert done.code != 0, script
        assert "not permitted" in done.err or "permission denied" in done.err, done
    if not STOCK:
        equal(status(d, "--security-opt", "seccomp=unconfined", field="Seccomp"), "0")


def test_seccomp_profile_of_ones_own(d):
    path = f"{d.root}/seccomp.json"
    with open(path, "w") as file:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}, file)
    done = d.ctl("run", "--rm", "--security-opt", f"seccomp={path}", "busybox", "mkdir", "/x")
    equal(done.code, 1)
    has(done.err, "Operation not permitted")
    with open(path, "w") as file:
        file.write('{"defaultAction": "SCMP_ACT_NONSENSE"}')
    assert d.ctl("run", "--rm", "--security-opt", f"seccomp={path}", "busybox", "true").code in (125, 126, 128)


def test_no_new_privileges(d):
    equal(status(d, field="NoNewPrivs"), "0")
    equal(status(d, "--security-opt", "no-new-privileges", field="NoNewPrivs"), "1")


def test_masked_and_read_only_paths(d):
    # Where AppArmor is, its profile says no before the mount does.
    guarded = "name=apparmor" in d.api("GET", "/info", status=200).json["SecurityOptions"]

    def said(script, text):
        done = d.ctl("run", "--rm", "busybox", "sh", "-c", script)
        assert done.out == text or text in done.err or (guarded and "Permission denied" in done.err), (script, done)

    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list"):
        if os.path.exists(path):
            said(f"wc -c <{path}", "0\n")
    for path in ("/proc/acpi", "/proc/scsi", "/sys/firmware"):
        if os.path.exists(path):
            said(f"ls {path} | wc -l", "0\n")
    said("echo 1 >/proc/sys/kernel/panic", "/proc/sys/kernel/panic: Read-only file system")
    said("touch /sys/x", "Read-only file system")
    said("echo x >/proc/irq/x", "/proc/irq/x: ")
    assert d.ctl("run", "--rm", "busybox", "sh", "-c", "echo x >/proc/irq/x").code != 0


def test_sysctls(d):
    equal(d.shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced",
                  "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shm_rmid_forced=1"), "1\n1")
    done = d.ctl("run", "--rm", "--sysctl", "kernel.panic=1", "busybox", "true")
    assert done.code in (125, 126), done
    has(done.err, "kernel.panic")


def test_descriptors_do_not_leak(d):
    equal(d.shell("ls /proc/self/fd | wc -l"), "4")  # 0 1 2 and ls's own


def test_environment_does_not_leak(d):
    out = d.ok("run", "--rm", "busybox", "cat", "/proc/1/environ").split("\0")
    assert {name.partition("=")[0] for name in out if name} <= {"PATH", "HOSTNAME", "HOME"}, out


def test_user_namespace_auto(d):
    if STOCK:
        return
    one = d.sleeper("--userns", "auto")
    two = d.sleeper("--userns", "auto")
    maps = [host.read(f"/proc/{d.state(c)['Pid']}/uid_map").split() for c in (one, two)]
    for inside, outside, count in maps:
        equal((inside, count), ("0", "65536"))
        assert int(outside) >= 65536, maps
    assert maps[0][1] != maps[1][1], maps
    equal(d.exec(one, "id", "-u"), "0")
    equal(d.exec(one, "stat", "-c", "%u:%g", "/bin/busybox", "/etc/shadow", "/root"), "0:0\n0:0\n0:0")
    d.exec(one, "sh", "-c", "echo x >/written && chown 33:33 /written")
    equal(d.exec(one, "stat", "-c", "%u:%g", "/written"), "33:33")
    outside = os.stat(f"/proc/{d.state(one)['Pid']}")
    equal(outside.st_uid, int(maps[0][1]), "owner of the process on the host")
    equal(d.ok("run", "--rm", "--userns", "auto", "busybox", "sh", "-c", "mount -t tmpfs t /tmp; echo $?; cat /proc/1/comm; true"),
          "1\nsh")


def test_user_namespace_host_is_the_default(d):
    container = d.sleeper()
    equal(os.readlink(f"/proc/{d.state(container)['Pid']}/ns/user"), os.readlink("/proc/self/ns/user"))
