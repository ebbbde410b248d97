"""dockerode and testcontainers of npm against the daemon.  They are installed into the build
directory, or into $CTL_NODE for several of them, from package-lock.json."""
import os
import shutil
import subprocess

import host
from harness import BUILD, SLOW, Daemon, Skip

HERE = os.path.dirname(os.path.abspath(__file__))
PLACE = os.environ.get("CTL_NODE") or f"{BUILD}/node"
LOCK = "package-lock.json"


def node(script, d, **environment):
    """The script must come to its end: a promise that nobody keeps ends node as well, with 0."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise Skip("no npm here")
    install()
    shutil.copytree(f"{HERE}/node", PLACE, dirs_exist_ok=True)
    done = subprocess.run(["node", script], cwd=PLACE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**d.environment(), **environment}, timeout=120 * SLOW, check=False)
    assert done.returncode == 0 and done.stdout.endswith("the end\n"), \
        f"{script}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def install():
    """Once for each package-lock.json; the lock file that is left there says that all of it is."""
    wanted = host.read(f"{HERE}/node/{LOCK}")
    if host.read(f"{PLACE}/node_modules/{LOCK}") == wanted:
        return
    shutil.copytree(f"{HERE}/node", PLACE, dirs_exist_ok=True)
    said = fetch()
    if said is not None:
        raise Skip(f"npm cannot fetch them: {said}")
    shutil.copy(f"{PLACE}/{LOCK}", f"{PLACE}/node_modules/{LOCK}")


def fetch():
    """None, or why it could not be done: the registry is not ours, nor is the way to it."""
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PLACE, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False)
    except subprocess.TimeoutExpired:
        return "out of time"
    return done.stdout[-300:].strip() if done.returncode else None


def test_dockerode(d):
    node("dockerode.js", d)


def test_testcontainers():
    # Ryuk, its reaper, is an image of a registry that tests must not need; containers are stopped by the script.
    with Daemon() as d:
        node("testcontainers.js", d, TESTCONTAINERS_RYUK_DISABLED="true")
