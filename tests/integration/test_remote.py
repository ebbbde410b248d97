"""The daemon from elsewhere: through ssh to a real sshd on the loopback, by forwarded sockets, by the
clients' own ssh transport, and what the client says where there is no daemon."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading

from harness import CTLC, SLOW, Daemon, Result, Skip, equal, has, wait_for

SSHD = "/usr/sbin/sshd"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(path, text, mode=0o600):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


class Ssh:
    """An sshd whose sessions find this build's ctlc and the daemon d, and an ssh(1) in `bin` that
    knows its keys and trusts nothing else."""

    def __init__(self, d):
        if not os.path.exists(SSHD):
            raise Skip("no sshd: install openssh-server")
        self.d, self.root, self.port = d, tempfile.mkdtemp(prefix="ctl-ssh-", dir=d.root), free_port()
        self.bin, far = f"{self.root}/bin", f"{self.root}/far"
        for path in (self.bin, far, "/run/sshd"):
            os.makedirs(path, exist_ok=True)
        os.symlink(CTLC, f"{far}/ctlc")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.root}/{name}"], check=True)
        keys = write(f"{self.root}/keys", open(f"{self.root}/user.pub").read())
        known = write(f"{self.root}/known", f"[127.0.0.1]:{self.port} " + open(f"{self.root}/host.pub").read())
        config = write(f"{self.root}/sshd_config", "\n".join((
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.root}/host",
            f"AuthorizedKeysFile {keys}", "StrictModes no", "UsePAM no", "PidFile none", "MaxStartups 100",
            "PermitRootLogin prohibit-password", "PasswordAuthentication no", "StreamLocalBindUnlink yes",
            f"SetEnv PATH={far}:/usr/local/bin:/usr/bin:/bin CTLC_HOST=unix://{d.sock} DOCKER_HOST=unix://{d.sock}",
            "")))
        mine = write(f"{self.root}/ssh_config", "\n".join((
            f"IdentityFile {self.root}/user", f"UserKnownHostsFile {known}", "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes", "IdentitiesOnly yes", "BatchMode yes", "LogLevel ERROR", "")))
        write(f"{self.bin}/ssh", f'#!/bin/sh\nexec /usr/bin/ssh -F {mine} "$@"\n', 0o755)
        self.log = f"{self.root}/log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_for(self.answers, "sshd to answer")
        self.url = f"ssh://root@127.0.0.1:{self.port}"

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            return connection.recv(4) == b"SSH-"
        return False

    def environment(self, **more):
        """No daemon but the one that is reached by ssh."""
        env = {k: v for k, v in self.d.environment().items() if k not in ("DOCKER_HOST", "CTLC_HOST")}
        return env | {"PATH": f"{self.bin}:{env['PATH']}"} | more

    def command(self, *argv, stdin=None, **more):
        done = subprocess.run(argv, env=self.environment(**more), input=stdin, timeout=120 * SLOW, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=not isinstance(stdin, bytes),
                              **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        return Result(done.returncode, done.stdout, done.stderr)

    def close(self):
        self.process.terminate()
        self.process.wait(30 * SLOW)


@contextlib.contextmanager
def ssh_to(d):
    ssh = Ssh(d)
    try:
        yield ssh
    finally:
        ssh.close()


def test_ssh_addresses(d):
    with ssh_to(d) as ssh:
        done = ssh.command(CTLC, "-H", ssh.url, "run", "--rm", "busybox", "echo", "far away")
        equal((done.code, done.out, done.err), (0, "far away\n", ""))
        done = ssh.command(CTLC, "ps", "-aq", CTLC_HOST=ssh.url)
        equal((done.code, done.out, done.err), (0, "", ""))
        # a socket other than the one over there would be found by itself
        done = ssh.command(CTLC, "-H", f"{ssh.url}{d.sock}", "version", "--format", "{{.Server.Version}}")
        equal((done.code, done.err), (0, ""))
        done = ssh.command(CTLC, "-H", f"{ssh.url}/no such/socket", "version", "--format", "{{.Server.Version}}")
        assert done.code == 1, done
        has(done.err, "Cannot connect to the containerd-lite daemon at unix:///no such/socket")


def test_ssh_streams(d):
    with ssh_to(d) as ssh:
        data = os.urandom(3 << 20)
        done = ssh.command(CTLC, "-H", ssh.url, "run", "--rm", "-i", "busybox", "cat", stdin=data)
        assert done.code == 0 and done.out == data, (done.code, len(done.out), done.err)
        done = ssh.command(CTLC, "-H", ssh.url, "run", "--rm", "busybox", "sh", "-c", "echo e >&2; exit 7")
        equal((done.code, done.out, done.err), (7, "", "e\n"))


def test_ssh_of_the_stock_client(d):
    """Its connection helper runs `docker system dial-stdio` over there: ours does under that name."""
    with ssh_to(d) as ssh:
        os.symlink(CTLC, f"{ssh.root}/far/docker")
        done = ssh.command("docker", "run", "--rm", "busybox", "echo", "far away", DOCKER_HOST=ssh.url)
        equal((done.code, done.out), (0, "far away\n"))


def test_ssh_that_fails(d):
    with ssh_to(d) as ssh:
        wrong = f"ssh://root@127.0.0.1:{free_port()}"
        done = ssh.command(CTLC, "-H", wrong, "ps")
        equal(done.code, 1)
        has(done.err, "Connection refused", "error during connect", "Make sure that the address is right")
        os.unlink(f"{ssh.root}/far/ctlc")
        done = ssh.command(CTLC, "-H", ssh.url, "ps")
        equal(done.code, 1)
        has(done.err, "not found", "ctlc is installed there")
        done = ssh.command(CTLC, "-H", ssh.url, "ps", PATH="/nonexistent")
        equal(done.code, 1)
        has(done.err, "cannot run ssh")


def test_addresses_that_are_none(d):
    for address, text in (("tcp://127.0.0.1:2375", "unsupported daemon address"),
                          ("ssh://a:secret@b", "plain-text password is not supported"),
                          ("ssh://", "invalid SSH URL"), ("ssh://-oProxyCommand=x", "invalid SSH URL"),
                          ("ssh://-x@b", "invalid SSH URL"), ("ssh://b:0", "invalid SSH URL"),
                          ("ssh://b:70000", "invalid SSH URL"), ("ssh://[::1", "invalid SSH URL"),
                          ("ssh://b?x=y", "no query or fragment")):
        done = d.ctl("-H", address, "version")
        equal(done.code, 1)
        has(done.err, text)
        assert "secret" not in done.err, done


def test_forwarded_socket(d):
    """ssh -L with sockets at both ends, as curl and the clients use it."""
    with ssh_to(d) as ssh:
        near = f"{ssh.root}/near"
        tunnel = subprocess.Popen([f"{ssh.bin}/ssh", "-N", "-p", str(ssh.port), "-L", f"{near}:{d.sock}",
                                   "root@127.0.0.1"], stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(near), "the forwarded socket")
            equal(ssh.command("curl", "-s", "--unix-socket", near, "http://x/_ping").out, "OK")
            for client in (CTLC, "docker"):
                done = ssh.command(client, "-H", f"unix://{near}", "run", "--rm", "-i", "busybox", "cat", stdin="x" * 99999)
                equal((done.code, len(done.out)), (0, 99999))
        finally:
            tunnel.terminate()
            tunnel.wait(30 * SLOW)


def test_dial_stdio(d):
    request = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = subprocess.run([CTLC, "system", "dial-stdio"], input=request, env=d.environment(), timeout=60 * SLOW,
                          stdout=subprocess.PIPE, check=True)
    has(done.stdout.decode(), "HTTP/1.1 200 OK", "\r\n\r\nOK")
    # one whose reader goes away ends by itself
    client = d.spawn_client("system", "dial-stdio", stdin=subprocess.PIPE)
    client.stdin.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    client.stdin.flush()
    client.stdout.close()
    d.ok("run", "--rm", "busybox", "true")
    client.wait(30 * SLOW)
    client.stdin.close()


def test_no_daemon(d):
    equal(d.ctl("-H", "unix:///nonexistent/sock", "ps").code, 1)
    has(d.fails(1, "-H", "unix:///nonexistent/sock", "ps"), "Is the daemon running?")
    # who may not use the socket is told whose it is
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CTLC, "ps"],
                          env=d.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    equal(done.returncode, 1)
    has(done.stderr, "permission denied", "usermod -aG containerd-lite")


def completions(d, *words):
    return [line.split("\t")[0] for line in d.ok("__complete", *words).splitlines()]


def test_completion(d):
    container, volume = d.ok("create", "--name", "finished", "busybox"), d.ok("volume", "create", "vault")
    equal(completions(d, "ren"), ["rename"])
    equal(completions(d, "network", "c"), ["connect", "create"])
    equal(completions(d, "-H", d.sock, "ren"), ["rename"])
    equal(completions(d, "start", "fin"), ["finished"])
    equal(completions(d, "run", "--rm", "busy"), ["busybox", "busybox:latest"])
    equal(completions(d, "run", "--netw"), ["--network", "--network-alias"])
    equal(completions(d, "run", "--network", "br"), ["bridge"])
    equal(completions(d, "run", "--restart", "un"), ["unless-stopped"])
    equal(completions(d, "run", "busybox", "-"), [":file"])
    equal(completions(d, "volume", "rm", "v"), ["vault"])
    equal(completions(d, "load", "-i", ""), [":file"])
    equal(completions(d, "tag", "busybox:l"), ["busybox:latest"])
    equal(d.ctl("-H", "unix:///nonexistent", "__complete", "start", "").out, "")
    # The line's own daemon is asked.
    here, nowhere = f"unix://{d.sock}", "unix:///nonexistent"
    for host in (["-H", here], ["--host", here], [f"--host={here}"], ["-l", "info", "-H", here]):
        equal(d.ctl("-H", nowhere, "__complete", *host, "start", "fin").out.split("\t")[0], "finished", str(host))
    equal(d.ctl("__complete", "-H", nowhere, "start", "fin").out, "")
    equal(completions(d, "-H", nowhere, "ren"), ["rename"])
    d.ok("rm", container)
    d.ok("volume", "rm", volume)


def test_names_of_a_hostile_daemon(d):
    """What is offered goes into a command line as it is: only names that can be names."""
    names = ["/good-1", "/$(reboot)", "/a;b", "/a b", "/`x`", "/--privileged", "/a\nb", "/a\x1b[2J", "/<none>", "/'q'", "/good_2"]
    body = json.dumps([{"Id": "1", "Names": [name]} for name in names]).encode()
    path = f"{d.root}/hostile.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)

        def answer():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    if sock.recv(65536):
                        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        offered = d.ok("-H", f"unix://{path}", "__complete", "start", "").splitlines()
        equal([line.split("\t")[0] for line in offered], ["good-1", "good_2"])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20 * SLOW)


def complete_in_bash(d, line):
    script = ('source <(ctlc completion bash); COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
              '_ctlc; printf "%%s\\n" "${COMPREPLY[@]}"' % line)
    env = dict(d.environment(), PATH=f"{os.path.dirname(CTLC)}:{os.environ['PATH']}")
    return subprocess.run(["bash", "--norc", "-c", script], env=env, stdout=subprocess.PIPE, text=True, check=True,
                          stderr=subprocess.PIPE).stdout.split()


def test_completion_in_the_shells(d):
    equal(complete_in_bash(d, "ctlc ren"), ["rename"])
    equal(complete_in_bash(d, "ctlc container sto"), ["stop"])
    has(d.fails(1, "completion", "tcsh"), 'unknown shell "tcsh"')
    for shell in ("bash", "zsh", "fish"):
        script = d.ok("completion", shell)
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_suggestions(d):
    has(d.fails(1, "rnu"), "unknown command: ctlc rnu", "Did you mean this?\n\trun\n")
    has(d.fails(1, "network", "conect"), "Did you mean this?\n\tconnect\n")
    assert "Did you mean" not in d.fails(1, "xyzzy")


def test_compose_is_handed_over(d):
    with tempfile.TemporaryDirectory() as base:
        write(f"{base}/docker-compose", '#!/bin/sh\necho "$DOCKER_HOST: $*"\n', 0o755)
        env = dict(d.environment(), PATH=base)
        done = subprocess.run([CTLC, "compose", "-f", "x.yaml", "up", "--help"], env=env, stdout=subprocess.PIPE, text=True,
                              check=True)
        equal(done.stdout, f"unix://{d.sock}: -f x.yaml up --help\n")
        done = subprocess.run([CTLC, "compose", "up"], env=dict(env, PATH="/nonexistent"), stderr=subprocess.PIPE, text=True,
                              check=False)
        equal(done.returncode, 1)
        has(done.stderr, "install the package docker-compose")
