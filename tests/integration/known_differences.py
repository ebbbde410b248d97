"""What may differ between dockerd 20.10's replies and ours in test_differential.py: which field of which reply, from which
value to which other, and how its line in docs/api-differences.md begins.  Anything else is a new difference, and fails."""
import re

ANY = object()  # of the machine, the moment or the version of a package
ABSENT = "absent"
INSPECTED = r"inspect [\w ]+|connected|stopped"
SWARM = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'

FOREIGN = "what is of Go or of containerd"
KERNEL = "`KernelMemory`, `KernelMemoryTCP`, `BridgeNfIp6tables`"
EMPTY = "empty lists"
GRAPH = "`GraphDriver.Data`"
UNSAID = "`HostConfig` where the client said nothing"
COMMITS = "commits: `Container`, `DockerVersion` in inspect"
LISTS = "lists of images: intermediate ones, `RepoDigests`"
MOUNTS = "`Mounts`: mode of volumes, propagation of binds around the engine's own files"
TEXTS = "texts that later versions say otherwise"
STATUSES = "statuses that later versions have corrected"

# (requests, path, theirs, ours, line).  A function of both values says whether it is this difference.
FIELDS = [
    *[("version", f"/Components/0/Details/{key}", ANY, ABSENT, FOREIGN) for key in ("BuildTime", "Experimental", "GitCommit", "GoVersion")],
    *[("info", f"/Runtimes/io\\.containerd\\.{name}", {"path": "runc"}, ABSENT, FOREIGN) for name in (r"runc\.v2", r"runtime\.v1\.linux")],
    *[("info", f"/{name}Commit/Expected", ANY, ABSENT, FOREIGN) for name in ("Containerd", "Runc", "Init")],
    ("info", "/(Swarm/Error|Isolation)", "", ABSENT, FOREIGN), ("info", "/(KernelMemory|KernelMemoryTCP|BridgeNfIp6tables)", ANY, ABSENT, KERNEL),
    ("info", "/DriverStatus", None, lambda _, ours: all(len(pair) == 2 for pair in ours), EMPTY), ("info|update", "/Warnings", None, [], EMPTY),
    ("df", r"/Images/\d+/RepoDigests", None, [], EMPTY), ("df", "/BuildCache", None, [], EMPTY), ("changes", "", None, [], EMPTY),
    ("prune builds", "/CachesDeleted", None, [], EMPTY), ("prune volumes", "/VolumesDeleted", [], None, EMPTY),
    ("volumes", r"/Volumes/\d+/Labels", None, {}, EMPTY), ("volume|volume options", "/Labels", None, {}, EMPTY), ("wait (created|stopped)", "/Error", None, ABSENT, EMPTY),
    (INSPECTED, "/Driver", "vfs", ANY, GRAPH), (f"{INSPECTED}|image|committed", "/GraphDriver/Name", "vfs", ANY, GRAPH),
    (f"{INSPECTED}|image|committed", "/GraphDriver/Data", None, lambda _, ours: set(ours) <= {"LowerDir", "MergedDir", "UpperDir", "WorkDir"}, GRAPH),
    (INSPECTED, "/HostConfig/PortBindings", None, {}, UNSAID), (INSPECTED, "/HostConfig/RestartPolicy/Name", "", "no", UNSAID),
    *[(INSPECTED, f"/HostConfig/{key}", None, [], UNSAID) for key in (
        "Dns", "DnsOptions", "DnsSearch", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "Devices", "Ulimits")],
    (INSPECTED, "/HostConfig/OomKillDisable", False, None, UNSAID),
    (INSPECTED, "/HostConfig/NetworkMode", "default", "bridge", UNSAID), ("list|list (all|mounts|ports)", "/0/HostConfig/NetworkMode", "default", "bridge", UNSAID),
    (INSPECTED, "/HostConfig/KernelMemory(TCP)?", 0, ABSENT, KERNEL), (INSPECTED, "/HostConfig/MaskedPaths", lambda theirs, ours: set(theirs) < set(ours), ANY, "`MaskedPaths`"),
    ("create strong", "/Warnings", [], lambda _, ours: all("is not available on this host and is left out" in text for text in ours), "a privileged container on a host that lacks a capability"),
    ("inspect (strong|spaces)", "/HostConfig/SecurityOpt", ["label=disable"], None, "`SecurityOpt` of privileged containers"),
    ("inspect spaces", "/Config/Hostname", "<short>", ANY, "name of a host in the host's UTS namespace"),
    *[(requests, f"{path}/Mounts/\\d+/{key}", theirs, ours, MOUNTS) for requests, path in (("inspect( running)? mounts", ""), ("list mounts", "/0"))
      for key, theirs, ours in (("Propagation", "rslave", "rprivate"), ("Mode", "z", ""))],
    *[(f"inspect running {net}net", f"/NetworkSettings/Networks/{name}/EndpointID", "<id>", "", "`EndpointID` in the networks `host` and `none`") for net, name in (("host", "host"), ("no", "none"))],
    ("stopped", "/NetworkSettings/SandboxID", "<id>", "", "`SandboxID` of one that has stopped"),
    ("top", r"/Processes/\d+/[12346]", ANY, ANY, "numbers of processes"),
    ("images all", "", lambda theirs, ours: len(ours) == len(theirs) + 1, ANY, LISTS), ("images", "/0/ParentId", "", "<digest>", LISTS), ("images", "/[01]/RepoDigests", None, [], LISTS),
    ("image", "/Container", "", ABSENT, COMMITS), ("image", "/ContainerConfig/Env", None, lambda _, ours: ours[0].startswith("PATH="), COMMITS),
    ("image", "/ContainerConfig/Cmd", None, ["sh"], COMMITS), ("image", "/ContainerConfig/WorkingDir", "", "/", COMMITS),
    ("committed", "/Container", "<id>", ABSENT, COMMITS), ("committed", "/DockerVersion", ANY, "", COMMITS),
    *[("committed", f"/(Container)?Config/{key}", theirs, "", COMMITS) for key, theirs in (("Hostname", "h"), ("Domainname", "d"), ("Image", "busybox"))],
    ("network bridge", "/Options/com.docker.network.bridge.name", "docker0", ANY, "name of the default bridge"),
    ("stats", "/memory_stats/stats/workingset_(refault|activate)", 0, ABSENT, "`memory_stats.stats` on v2"),
]
# These may as well not differ: it depends on the host.
HOSTS = {("create strong", "/Warnings"), ("stats", "/memory_stats/stats/workingset_(refault|activate)"), (INSPECTED, "/HostConfig/OomKillDisable")}

# {request: (theirs, ours)}: errors of one status and two texts; several of theirs where the moment decides.
MESSAGES = {
    "no command": ("No command specified", "no command specified"),
    "unknown logger": ('error looking up logging plugin asdf: plugin "asdf" not found', "logger: no log driver named 'asdf' is registered"),
    **{f"{what} bad filter": ("Invalid filter 'foo'", "invalid filter 'foo'") for what in ("list", "images", "networks", "volumes", "prune")},
    **{name: ("Container <id> is not running", "container <id> is not running") for name in ("top stopped", "pause stopped", "resize stopped", "exec stopped")},
    "rename badly": ("Error when allocating new name: Invalid container name (/b$d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                     "Invalid container name (b$d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    "pause again": ("Container <id> is already paused", "container <id> is already paused"),
    "exec in paused": ("Container plain is paused, unpause the container before exec", "Container <id> is paused, unpause the container before exec"),
    "kill badly": ("Invalid signal: SIG42X", "cannot kill container: plain: invalid signal: SIG42X"),
    "kill stopped": ("Cannot kill container: labels: Container <id> is not running", "cannot kill container: labels: container <id> is not running"),
    "kill nobody": ("Cannot kill container: nobody: No such container: nobody", "cannot kill container: nobody: No such container: nobody"),
    "resize badly": ('strconv.Atoi: parsing "x": invalid syntax', 'invalid resize height "x": not a number'),
    "remove running": ("You cannot remove a running container <id>. Stop the container before attempting removal or force remove",
                       'cannot remove container "plain": container is running: stop the container before removing or force remove'),
    "exec again": (("Error: Exec command <id> is already running", "Error: Exec command <id> has already run"), "exec command <id> has already run"),
    "no path": ("bad parameter: pathcannot be empty", "bad parameter: 'path' cannot be empty"),
    "image unknown": ("no such image: nothere: No such image: nothere:latest", "No such image: nothere:latest"),
    "save unknown": ("No such image: nothere", "No such image: nothere:latest"),
    "search badly": ("Limit 1000 is outside the range of [1, 100]", "limit 1000 is outside the range of [1, 100]"),
    "network driver": ('plugin "nothere" not found', 'could not find plugin nothere in v1 plugin registry: plugin "nothere" not found'),
    "network overlap": ("Pool overlaps with other one on this address space", "invalid pool request: Pool overlaps with other one on this address space"),
    "remove used network": ("error while removing network: network net id <id> has active endpoints",
                            'error while removing network: network net has active endpoints (name:"plain" id:"<short>")'),
}
# {request: ((status, text), (status, text))}
ANSWERS = {
    "no image named": ((201, ANY), (400, "no image specified")), "empty create": ((500, "EOF"), (400, "invalid JSON: got EOF while reading request body")),
    "not JSON": ((500, "unexpected EOF"), (400, "invalid JSON: string or '}' expected near end of file")),
    "list bad filters": ((500, "invalid character 'x' looking for beginning of value"), (400, "invalid filter 'x'")),
    "unpause again": ((500, "Container <id> is not paused"), (409, "container <id> is not paused")),
    "put to a file": ((500, "extraction point is not a directory"), (400, "extraction point is not a directory")),
    "tag badly": ((500, "invalid reference format: repository name must be lowercase"), (400, "invalid reference format: repository name (library/MINE) must be lowercase")),
    "tag badly too": ((500, "invalid tag format"), (400, "invalid tag format")),
    "push unknown": ((400, "Bad parameters and missing X-Registry-Auth: EOF"), (200, ANY)), "events bad filter": ((200, ""), (400, "invalid filter 'foo'")),
    "network nameless": ((500, "invalid name: "), (400, "network name is required")),
    "network bad subnet": ((500, "Invalid subnet x : invalid CIDR address: x"), (400, "invalid network config:\ninvalid subnet x")),
    "network of a swarm": ((500, SWARM), (503, SWARM)), "disconnect again": ((500, "container <id> is not connected to network net"), (403, "container <id> is not connected to the network net")),
}
LINES = {TEXTS, STATUSES} | {line for *_, line in FIELDS}


def meets(wanted, theirs, ours, value):
    return wanted is ANY or (wanted(theirs, ours) if callable(wanted) else wanted == value)


def find(request, path, theirs, ours):
    """What the difference is known as, or None.  theirs, ours: without what is by chance."""
    if path == "status" or path == "/message":
        known = ANSWERS.get(request) if path == "status" else MESSAGES.get(request)
        told = known and all(a is ANY or a == b or (path == "/message" and isinstance(a, tuple) and b in a)
                             for pair, found in zip(known, (theirs, ours)) for a, b in zip(pair if path == "status" else (pair,), found if path == "status" else (found,)))
        return (request, path) if told else None
    for requests, pattern, their_value, our_value, _ in FIELDS:
        if re.fullmatch(requests, request) and re.fullmatch(pattern, path) and meets(their_value, theirs, ours, theirs) and meets(our_value, theirs, ours, ours):
            return requests, pattern
    return None


def all_known():
    return {(requests, pattern) for requests, pattern, *_ in FIELDS} - HOSTS | {(name, "status") for name in ANSWERS} | {(name, "/message") for name in MESSAGES}
