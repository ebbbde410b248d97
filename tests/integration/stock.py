"""Debian's engine, beside ours."""
import contextlib
import shutil
import signal
import subprocess
import tempfile

from harness import SLOW, wait_for


@contextlib.contextmanager
def dockerd():
    """Debian's engine, without networks, as a reader and writer of archives."""
    root = tempfile.mkdtemp(prefix="ctl-dockerd-")
    argv = ["dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/run", "--pidfile",
            f"{root}/pid", "-H", f"unix://{root}/sock", "--bridge", "none", "--iptables=false",
            "--ip-forward=false", "--storage-driver", "vfs"]
    with open(f"{root}/log", "wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def docker(*args):
        done = subprocess.run(["docker", "-H", f"unix://{root}/sock", *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        return done.stdout if done.returncode == 0 else None

    def log_tail():
        with open(f"{root}/log") as file:
            return file.read()[-1500:]

    def ready():
        assert process.poll() is None, log_tail()
        return docker("version")
    try:
        wait_for(ready, "dockerd to answer", 60)
        yield docker
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(root, ignore_errors=True)
