"""Every text that clients and test suites match in an error, word for word: one table, with the request that gives it."""
import os
import re
import signal
import threading

import host
import imagemaker
from harness import equal, wait_for
from test_restart import TEXT as RESTARTING, restarting

SLEEP = {"Image": "busybox", "Cmd": ["sleep", "100000"]}
SMALL = {**SLEEP, "HostConfig": {"Memory": 1 << 20}}
SAME_NAME = "Renaming a container with the same name as its current name"
BAD_NAME = "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
IN_USE = ('Conflict. The container name "/up" is already in use by container "{up}". '
          "You have to remove (or rename) that container to be able to reuse that name.")
NO_FILE = ("failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
           'unable to start container process: error during container init: exec: "nofile": executable file not found in $PATH: unknown')
IS_RUNNING = 'cannot remove container "up": container is running: stop the container before removing or force remove'
UNTAG = 'conflict: unable to remove repository reference "busybox" (must force) - container ... is using its referenced image {image:.12}'
DELETE = "conflict: unable to delete {image:.12} (cannot be forced) - image is being used by running container ..."
PARENT = "conflict: unable to delete {image:.12} (cannot be forced) - image has dependent child images"
PORT = ("driver failed programming external connectivity on endpoint twin (...): "
        "Bind for 0.0.0.0:{port} failed: port is already allocated")

# (method, path, body, status, text).  {} of setup()'s; "..." in a text is what differs from run to run.
TABLE = [
    ("GET", "/containers/nope/json", None, 404, "No such container: nope"),
    ("POST", "/containers/nope/start", None, 404, "No such container: nope"),
    ("POST", "/containers/nope/exec", {"Cmd": ["true"]}, 404, "No such container: nope"),
    ("DELETE", "/containers/nope?force=1", None, 404, "No such container: nope"),
    ("GET", "/images/nope/json", None, 404, "No such image: nope:latest"),
    ("DELETE", "/images/nope", None, 404, "No such image: nope:latest"),
    ("POST", "/containers/create", {**SLEEP, "Image": "nope"}, 404, "No such image: nope:latest"),
    ("GET", "/exec/nope/json", None, 404, "No such exec instance: nope"),
    ("POST", "/exec/nope/start", {}, 404, "No such exec instance: nope"),
    ("GET", "/containers/up/archive?path=/nope", None, 404, "Could not find the file /nope in container up"),
    ("HEAD", "/containers/up/archive?path=/nope", None, 404, ""),
    ("GET", "/networks/nope", None, 404, "network nope not found"),
    ("DELETE", "/networks/nope", None, 404, "network nope not found"),
    ("GET", "/volumes/nope", None, 404, "get nope: no such volume"),
    ("DELETE", "/volumes/nope", None, 404, "get nope: no such volume"),
    ("POST", "/containers/create?name=up", SLEEP, 409, IN_USE),
    ("POST", "/containers/down/rename?name=up", None, 409, "Error when allocating new name: " + IN_USE),
    ("POST", "/containers/down/exec", {"Cmd": ["true"]}, 409, "container {down} is not running"),
    ("POST", "/containers/down/pause", None, 409, "container {down} is not running"),
    ("POST", "/exec/{ended}/start", {}, 409, "container {gone} is not running"),
    ("POST", "/containers/frozen/exec", {"Cmd": ["true"]}, 409, "Container {frozen} is paused, unpause the container before exec"),
    ("POST", "/containers/frozen/start", None, 409, "cannot start a paused container, try unpause instead"),
    ("DELETE", "/containers/up", None, 409, IS_RUNNING),
    ("DELETE", "/images/busybox", None, 409, UNTAG),
    ("DELETE", "/images/{image}?force=1", None, 409, DELETE),
    ("POST", "/containers/create?name=-x", SLEEP, 400, BAD_NAME),
    ("POST", "/containers/down/rename?name=-x", None, 400, BAD_NAME),
    ("POST", "/containers/down/rename?name=down", None, 400, SAME_NAME),
    ("POST", "/containers/create", {"Image": "{bare}"}, 400, "no command specified"),
    ("POST", "/containers/up/exec", {"Cmd": []}, 400, "No exec command specified"),
    ("POST", "/images/create", None, 400, "image name cannot be blank"),
    ("POST", "/containers/up/kill?signal=SIG42", None, 400, "cannot kill container: up: invalid signal: SIG42"),
    ("POST", "/containers/create", b"nonsense", 400, "invalid JSON: ..."),
    ("POST", "/containers/create", b"", 400, "invalid JSON: ..."),
    ("POST", "/containers/create", "text", 400, "unsupported Content-Type header (text/plain): must be 'application/json'"),
    ("POST", "/containers/create", SMALL, 400, "Minimum memory limit allowed is 6MB"),
    ("POST", "/containers/nofile/start", None, 400, NO_FILE),
    ("POST", "/containers/twin/start", None, 500, "...{PORT}"),
    ("POST", "/containers/down/kill", None, 409, "cannot kill container: down: container {down} is not running"),
    ("POST", "/containers/nope/kill", None, 404, "cannot kill container: nope: No such container: nope"),
    ("POST", "/containers/up/stop?signal=SIG42", None, 500, "cannot stop container: up: invalid signal: SIG42"),
    ("POST", "/containers/nofile/restart", None, 500, "Cannot restart container nofile: " + NO_FILE),
]


def setup(d):
    """What the requests are about; the values for their braces."""
    port = 41000 + os.getpid() % 2000
    known = {"up": d.sleeper("--name", "up", "-p", f"127.0.0.2:{port}:80"), "down": d.ok("create", "--name", "down", "busybox", "true"),
             "frozen": d.sleeper("--name", "frozen"), "gone": d.sleeper("--name", "gone"), "port": str(port),
             "nofile": d.ok("create", "--name", "nofile", "busybox", "nofile"),
             "twin": d.ok("create", "--name", "twin", "-p", f"127.0.0.2:{port}:80", "busybox", "true"),
             "image": d.api("GET", "/images/busybox/json", status=200).json["Id"].partition(":")[2]}
    known["ended"] = d.api("POST", "/containers/gone/exec", {"Cmd": ["true"]}, status=201).json["Id"]
    d.ok("kill", "gone")
    d.ok("pause", "frozen")
    d.ok("import", "-", "bare", input=imagemaker.archive({"file": b""}))
    return known


def request(d, method, path, body, known):
    headers = None
    if isinstance(body, bytes):
        headers = {"Content-Type": "application/json"}
    elif isinstance(body, str):
        headers = {"Content-Type": "text/plain"}
    elif body and body.get("Image") == "{bare}":
        body = {"Image": "bare"}
    return d.api(method, path.format(**known), body, headers)


def check(reply, status, text, known, what):
    equal(reply.status, status, what)
    wanted = text.format(**known, PORT=PORT.replace("0.0.0.0", "127.0.0.2").format(**known))
    got = reply.message if reply.body else ""
    assert re.fullmatch(re.escape(wanted).replace(re.escape("..."), ".+"), got), f"{what}: got {got!r}, wanted {wanted!r}"


def test_all(d):
    known = setup(d)
    wrong = []
    for method, path, body, status, text in TABLE:
        try:
            check(request(d, method, path, body, known), status, text, known, f"{method} {path}")
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


def test_in_a_restart(d):
    """What a container says between two tries to start it."""
    container = d.run_detached("--restart", "always", "busybox", "false")
    restarting(d, container)
    equal(d.api("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}, status=409).message, RESTARTING.format(container))


def test_of_parents(d):
    """An image that others are made of."""
    container = d.ok("create", "busybox")
    d.ok("commit", container, "child:1")
    d.ok("rm", container)
    image = d.api("GET", "/images/busybox/json", status=200).json["Id"].partition(":")[2]
    for force in ("", "?force=1"):
        equal(d.api("DELETE", f"/images/{image}{force}", status=409).message, PARENT.format(image=image))
    d.ok("rmi", "child:1")


def test_of_a_removal(d):
    """Of two removals at the same time one waits for the container's monitor, which is held, and the other is refused."""
    container = d.sleeper("--name", "leaving")
    status = host.read(f"/proc/{d.state(container)['Pid']}/status")
    shim = int(re.search(r"^PPid:\s*(\d+)", status, re.M)[1])
    replies = []
    both = [threading.Thread(target=lambda: replies.append(d.api("DELETE", "/containers/leaving?force=1"))) for _ in range(2)]
    os.kill(shim, signal.SIGSTOP)
    try:
        for one in both:
            one.start()
        wait_for(lambda: replies, "a refusal")
        equal((replies[0].status, replies[0].message), (409, "removal of container leaving is already in progress"))
    finally:
        os.kill(shim, signal.SIGCONT)
        for one in both:
            one.join()
    equal(replies[1].status, 204)
