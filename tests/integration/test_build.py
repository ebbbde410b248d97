"""POST /build: the classic builder, by its own API and by the docker CLI."""
import io
import json
import os
import pathlib
import re
import struct
import tarfile
import time
import urllib.parse

import docker
from harness import IMAGE, SLOW, equal, has, wait_for
from stock import dockerd


def context(files, compression=""):
    """A tar of {name: text, bytes or a TarInfo}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Built:
    def __init__(self, reply):
        self.status, self.lines = reply.status, []
        if reply.status == 200:
            self.lines = [json.loads(line) for line in reply.body.split(b"\r\n") if line]
        self.text = "".join(line.get("stream", "") for line in self.lines)
        self.error = next((line["errorDetail"] for line in self.lines if "errorDetail" in line), None)
        self.message = json.loads(reply.body)["message"] if reply.status >= 400 else None
        ids = [line["aux"]["ID"] for line in self.lines if "aux" in line]
        self.id = ids[-1] if ids else None


def build(d, text=None, files=None, body=None, **query):
    if body is None:
        body = context({**({"Dockerfile": text} if text is not None else {}), **(files or {})})
    query = {key: json.dumps(value) if isinstance(value, dict) or key == "ulimits" else value for key, value in query.items()}
    path = "/build?" + urllib.parse.urlencode(query, doseq=True)
    return Built(d.api("POST", path, body, headers={"Content-Type": "application/x-tar"}))


def good(d, text, files=None, **query):
    b = build(d, text, files, **query)
    assert b.status == 200 and not b.error and b.id, (b.status, b.message, b.error, b.text)
    return b


def bad(d, text, files=None, **query):
    b = build(d, text, files, **query)
    assert b.message or b.error, b.text
    return b.message or b.error["message"]


def inspect(d, name):
    return d.api("GET", f"/images/{name}/json", status=200).json


def history(d, name):
    return [entry["CreatedBy"] for entry in d.api("GET", f"/images/{name}/history", status=200).json]


def run(d, image, *command):
    return d.ok("run", "--rm", image, *command)


def test_steps_and_words(d):
    b = good(d, f"FROM busybox\nENV a=b\nRUN echo hi > /made; echo said\nCOPY x /y\n", {"x": "content"},
             t=["one", "two:tag"])
    base = inspect(d, "busybox")["Id"][7:19]
    lines = b.text.split("\n")
    equal(lines[:4], [f"Step 1/4 : FROM busybox", f" ---> {base}", "Step 2/4 : ENV a=b", lines[3]])
    assert lines[3].startswith(" ---> ") and len(lines[3]) == 18, lines[3]
    has(b.text, "Step 3/4 : RUN echo hi > /made; echo said\n ---> Running in ")
    has(b.text, "\nsaid\nRemoving intermediate container ")
    equal(lines[-4:], [f"Successfully built {b.id[7:19]}", "Successfully tagged one:latest",
                       "Successfully tagged two:tag", ""])
    equal(run(d, "one", "cat", "/made", "/y"), "hi\ncontent")
    equal(inspect(d, "two:tag")["Id"], b.id)
    equal(d.api("GET", "/containers/json", all=1).json, [])


def test_stages(d):
    b = good(d, "ARG base=busybox\nFROM $base AS one\nRUN echo 1 > /one; mkdir -p /d/e; echo x > /d/e/f; ln -s e /d/l\n"
             "FROM busybox AS unused\nRUN exit 7\n"
             "FROM scratch AS files\nCOPY --from=one /d /\n"
             "FROM one\nCOPY --from=files / /copied\nCOPY --from=0 /one /d/e/f* /many/\nCOPY --from=busybox /bin/true /true\n",
             t="x")
    has(b.text, "Step 1/9 : ARG base=busybox\nStep 2/9 : FROM $base AS one\n")
    assert "exit 7" not in b.text
    equal(run(d, "x", "sh", "-c", "cat /one /copied/e/f /copied/l/f /many/one /many/f; /true && ls /copied"),
          "1\nx\nx\n1\nx\ne\nl")


def test_target(d):
    text = "FROM busybox AS a\nENV x=a\nFROM busybox AS b\nRUN exit 1\n"
    equal(inspect(d, good(d, text, target="a").id)["Config"]["Env"][-1], "x=a")
    equal(inspect(d, good(d, text, target="0").id)["Config"]["Env"][-1], "x=a")
    equal(bad(d, text, target="c"), "failed to reach build target c in Dockerfile")


def test_configuration(d):
    b = good(d, "FROM busybox\nLABEL a=b \"c d\"='e f'\nENV x=1 y=${x:-no}\nENV z $x and ${none:-more}\nEXPOSE 80 53/udp $x\n"
             "USER 1:2\nWORKDIR /w/d\nWORKDIR e\nVOLUME /v [\"/u\"]\nVOLUME [\"/a b\"]\nSTOPSIGNAL SIGINT\n"
             "HEALTHCHECK --interval=5s --retries=2 CMD true\nSHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n"
             "ENTRYPOINT [\"echo\", \"$x\"]\nCMD a b\nONBUILD RUN echo $x\nMAINTAINER me <m@e>\n", labels={"more": "yes"})
    image = inspect(d, b.id)
    c = image["Config"]
    equal(c["Labels"], {"a": "b", "c d": "e f", "more": "yes"})
    equal(c["Env"][1:], ["x=1", "y=no", "z=1 and more"])
    equal(sorted(c["ExposedPorts"]), ["1/tcp", "53/udp", "80/tcp"])
    equal((c["User"], c["WorkingDir"], c["StopSignal"]), ("1:2", "/w/d/e", "SIGINT"))
    equal(sorted(c["Volumes"]), ["/a b", "/v", "[/u]"])
    equal(c["Healthcheck"], {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 2})
    equal(c["Shell"], ["/bin/busybox", "sh", "-c"])
    equal((c["Entrypoint"], c["Cmd"]), (["echo", "$x"], ["/bin/busybox", "sh", "-c", "a b"]))
    equal((c["OnBuild"], image["Author"]), (["RUN echo $x"], "me <m@e>"))
    lines = history(d, b.id)
    has("\n".join(lines), "/bin/sh -c #(nop)  LABEL a=b c d=e f", "/bin/sh -c #(nop) WORKDIR /w/d",
        '/bin/busybox sh -c #(nop)  ENTRYPOINT ["echo" "$x"]')


def test_arguments(d):
    text = ("ARG early=busybox\nFROM ${early}\nARG early\nARG late=1\nARG over=arg\nENV over=env\n"
            "RUN echo $early-$late-$over-$never > /out\n")
    b = good(d, text, buildargs={"late": "2", "never": "x", "over": "given"}, t="args")
    equal(run(d, "args", "cat", "/out"), "busybox-2-env-")
    has(b.text, "[Warning] One or more build-args [never] were not consumed")
    has("\n".join(history(d, "args")), "|2 early=busybox late=2 /bin/sh -c echo $early-$late-$over-$never > /out")
    equal([e for e in inspect(d, "args")["Config"]["Env"] if "late" in e], [])


def test_onbuild(d):
    good(d, "FROM busybox\nONBUILD COPY x /x\nONBUILD RUN cat /x > /y\n", t="trigger")
    b = good(d, "FROM trigger\nRUN cat /y > /z\n", {"x": "text"}, t="triggered")
    has(b.text, "# Executing 2 build triggers\n")
    equal(run(d, "triggered", "cat", "/z"), "text")
    assert not inspect(d, "triggered")["Config"].get("OnBuild")


def test_here_documents(d):
    good(d, "FROM busybox\nRUN <<EOF\necho one > /a\necho two >> /a\nEOF\nRUN cat > /b <<-'X'\n\t$HOME\n\tX\n", t="here")
    equal(run(d, "here", "cat", "/a", "/b"), "one\ntwo\n$HOME")
    good(d, "FROM busybox\nARG x=1\nCOPY --chmod=755 <<one <<\"two\" /d/\necho $x\none\necho $x\ntwo\nCOPY <<f /named\nit's\nf\n",
         t="here")
    equal(run(d, "here", "sh", "-c", "cat /d/one /d/two /named; /d/one"), "echo 1\necho $x\nit's\n1")


def test_failures(d):
    before = d.settled_census()
    b = build(d, "FROM busybox\nRUN echo no >&2; exit 42\n")
    equal(b.error, {"code": 42, "message": "The command '/bin/sh -c echo no >&2; exit 42' returned a non-zero code: 42"})
    has(b.text, "\x1b[91mno\n\x1b[0m")
    has(bad(d, 'FROM busybox\nRUN ["/none"]\n'), "/none")
    equal(bad(d, "FROM busybox\nCOPY nothing /\n"), "COPY failed: file not found in build context or excluded by "
          ".dockerignore: stat nothing: file does not exist")
    equal(bad(d, "FROM busybox\nCOPY no* /\n"), "COPY failed: no source files were specified")
    equal(bad(d, "FROM busybox\nCOPY ../x /\n"), "COPY failed: forbidden path outside the build context: ../x ()")
    has(bad(d, "FROM busybox\nCOPY a b /c\n", {"a": "1", "b": "2"}), "When using COPY with more than one source file")
    equal(bad(d, "# nothing\n"), "failed to parse Dockerfile: file with no instructions")
    # What can be seen before anything is run, is.
    for line in ("RUN --x true", "COPY --x a b", "ADD --from=0 a b", "COPY --chown=1 --chown=2 a b", "COPY a", "ENV a", "ENV =b", "ENV a=b c", "LABEL a",
                 "ARG =b", "SHELL /bin/sh", 'VOLUME [""]'):
        b = build(d, f"FROM busybox\nRUN echo for nothing\n{line}\n")
        equal(b.status, 400, line)
        has(b.message, "dockerfile parse error line 3: ")
    has(bad(d, "FROM busybox AS a\nFROM busybox AS A\n"), "a stage name already used")
    for line, text in (("HEALTHCHECK NONE x", "NONE takes no arguments"), ("HEALTHCHECK X y", 'Unknown type "X" in HEALTHCHECK'),
                       ("HEALTHCHECK --timeout=1us CMD x", 'Interval "timeout" cannot be less than 1ms')):
        has(bad(d, f"FROM busybox\n{line}\n"), text)
    equal(bad(d, "FRUM busybox\n"), "dockerfile parse error line 1: unknown instruction: FRUM")
    equal(bad(d, ""), "the Dockerfile (Dockerfile) cannot be empty")
    equal(bad(d, None, {"x": "y"}), "Cannot locate specified Dockerfile: Dockerfile")
    equal(bad(d, "FROM busybox\n", dockerfile="/../other"), "Cannot locate specified Dockerfile: /../other")
    has(bad(d, "FROM busybox\nCOPY --from=1 / /\n"), "invalid from flag value 1")
    has(bad(d, "FROM busybox\nRUN --mount=type=cache x\n"), "unknown flag: mount")
    equal(build(d, "FROM busybox", version="2").status, 400)
    equal(build(d, "FROM busybox", remote="git://x/y").status, 400)
    equal(build(d, "FROM busybox", t="UPPER").status, 400)
    equal(build(d, "FROM busybox", buildargs="x").status, 400)
    has(build(d, body=b"this is no archive" * 100).message, "Error processing tar file")
    equal(d.api("GET", "/containers/json", all=1).json, [])
    d.assert_counts(before)


def test_copied(d):
    files = {"a.txt": "a", "b.txt": "b", ".hidden": "h", "dir/one": "1", "dir/sub/two": "2", "sp ace": "s"}
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/a.txt"
    files["link"] = link
    outside = tarfile.TarInfo("outside")
    outside.type, outside.linkname = tarfile.SYMTYPE, "../../../../etc/passwd"
    files["outside"] = outside
    good(d, "FROM busybox\nRUN mkdir /there; ln -s /there /here; echo old > /there/old; ln -s /there/old /to\n"
         "COPY a.txt /there\nCOPY *.txt /globbed/\nCOPY dir /tree\nCOPY dir/. /here/\nCOPY a.txt renamed/x\n"
         "COPY b.txt /to\nCOPY [\"sp ace\", \"/s p/\"]\nCOPY --chown=5:6 dir /owned/deep\nCOPY --chmod=750 a.txt /mode\n"
         "COPY link /linked\nCOPY . /all/\nCOPY d?r/*e /q/\nCOPY */one [ab]*/nothing* *.tx[t] /r/\n", files, t="copied")
    equal(run(d, "copied", "ls", "/r"), "a.txt\nb.txt\none")
    equal(run(d, "copied", "sh", "-c", "cat /there/a.txt /globbed/a.txt /globbed/b.txt /tree/one /tree/sub/two "
              "/there/one /renamed/x /there/old '/s p/sp ace' /linked /all/.hidden /q/one; ls -l /to | wc -l"),
          "aab121absah11")
    equal(run(d, "copied", "stat", "-c", "%u:%g %a", "/owned", "/owned/deep", "/owned/deep/one", "/mode", "/tree"),
          "5:6 755\n5:6 755\n5:6 644\n0:0 750\n0:0 755")
    equal(run(d, "copied", "readlink", "/all/outside"), "../../../../etc/passwd")
    has(bad(d, "FROM busybox\nCOPY outside /x\n", files), "file does not exist")


def test_added(d):
    for kind in ("", "gz", "bz2", "xz"):
        files = {"x.tar": context({"in/side": "text"}, kind), "plain": "p"}
        good(d, "FROM busybox\nADD x.tar /out\nADD plain /out/\nCOPY x.tar /kept\n", files, t="added")
        equal(run(d, "added", "cat", "/out/in/side", "/out/plain"), "textp")
        equal(run(d, "added", "sh", "-c", "test -f /kept && echo yes"), "yes")
    has(bad(d, "FROM busybox\nADD x.tar /out\n", {"x.tar": context({"../out": "x"})}), "ADD failed")


def test_contexts(d):
    for kind in ("gz", "bz2", "xz"):
        b = build(d, body=context({"sub/Other": "FROM busybox\nCOPY sub/x /x\n", "sub/x": "1"}, kind), dockerfile="sub/Other")
        assert b.id, (b.message, b.error)
    hostile = tarfile.TarInfo("../../escaped")
    assert build(d, body=context({"Dockerfile": "FROM busybox\n", "x": hostile})).message
    for name, kind in (("dev", tarfile.CHRTYPE), ("fifo", tarfile.FIFOTYPE)):
        info = tarfile.TarInfo("Dockerfile")
        info.type, info.devmajor, info.devminor = kind, 1, 3
        has(build(d, body=context({"Dockerfile": info})).message, "Cannot locate specified Dockerfile")
    # A symlink leads no further than the context.
    info = tarfile.TarInfo("Dockerfile")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    has(build(d, body=context({"Dockerfile": info})).message, "Cannot locate specified Dockerfile")


def test_ignored(d):
    files = {".dockerignore": "Dockerfile\n.dockerignore\n", "x": "1"}
    good(d, "FROM busybox\nCOPY . /c/\n", files, t="ignored")
    equal(run(d, "ignored", "ls", "-A", "/c"), "x")


def test_quiet(d):
    b = build(d, "FROM busybox\nENV a=b\n", q="1")
    equal([line for line in b.lines if "stream" in line], [{"stream": b.id + "\n"}])


def test_limits_reach_the_container(d):
    b = good(d, "FROM busybox\nRUN ulimit -n; cat /etc/hosts; df -k /dev/shm; ls /sys/class/net\n", nocache="1",
             ulimits=[{"Name": "nofile", "Soft": 77, "Hard": 99}], extrahosts=["some.host:10.9.8.7"],
             shmsize=str(1 << 20), networkmode="none", memory=str(64 << 20))
    has(b.text, "77\n", "10.9.8.7\tsome.host", " 1024 ")
    assert "eth0" not in b.text


# The cache


def steps(text):
    """Which of the steps were made anew."""
    parts = text.split("Step ")[1:]
    return [" ---> Using cache\n" not in part for part in parts if not part.split(" : ")[1].startswith("FROM ")]


def test_cache(d):
    text = "FROM busybox\nENV a=b\nCOPY x /x\nARG v=1\nRUN echo $v > /y\nWORKDIR /w\nCMD c\n"
    first = good(d, text, {"x": "1", "other": "1"})
    equal(steps(first.text), [True] * 6)
    again = good(d, text, {"x": "1", "other": "2"})
    equal((steps(again.text), again.id), ([False] * 6, first.id))
    equal(steps(good(d, text, {"x": "2"}).text), [False, True, True, True, True, True])
    equal(steps(good(d, text, {"x": "1"}, buildargs={"v": "2"}).text), [False, False, False, True, True, True])
    equal(steps(good(d, text, {"x": "1"}, nocache="1").text), [True] * 6)
    equal(steps(good(d, text, {"x": "1", "y": "more"}).text), [False] * 6)


def test_cache_tells_words_apart(d):
    def words(*args):
        b = good(d, "FROM busybox\nRUN " + json.dumps(["sh", "-c", "echo $# > /n", "sh", *args]))
        return run(d, b.id, "cat", "/n"), steps(b.text)

    equal(words("a b"), ("1", [True]))
    equal(words("a", "b"), ("2", [True]))
    equal(words("a b"), ("1", [False]))
    text = "FROM busybox\nARG a\nARG b\nRUN echo $a, $b > /n\n"
    for a, b in (("1 b=2", "3"), ("1", "2 b=3")):
        equal(run(d, good(d, text, buildargs={"a": a, "b": b}).id, "cat", "/n"), f"{a}, {b}")


def test_cache_tells_capabilities_apart(d):
    """A COPY of the same program with a capability, as after setcap, is another."""
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)

    def tool(image):
        return f"/proc/{d.state(d.run_detached(image, 'sleep', '100000'))['Pid']}/root/tool"

    source = d.sleeper()
    d.exec(source, "cp", "/bin/busybox", "/tool")
    d.ok("commit", source, "plain")
    os.setxattr(f"/proc/{d.state(source)['Pid']}/root/tool", "security.capability", capability)
    d.ok("commit", source, "able")
    equal(os.listxattr(tool(good(d, "FROM busybox\nCOPY --from=plain /tool /tool\n").id)), [])
    for made in (True, False):
        b = good(d, "FROM busybox\nCOPY --from=able /tool /tool\n")
        equal(steps(b.text), [made])
        equal(os.getxattr(tool(b.id), "security.capability"), capability)


def test_steps_are_not_listed(d):
    def ids(**query):
        return {image["Id"] for image in d.api("GET", "/images/json", **query).json}

    before, all_before = ids(), ids(all=1)
    b = good(d, "FROM busybox\nENV one=1\nENV two=2\nRUN touch /three\n", t="chain")
    equal(ids() - before, {b.id})
    equal(len(ids(all=1) - all_before), 3)
    parent = inspect(d, "chain")["Parent"]
    equal(inspect(d, inspect(d, parent)["Parent"])["Parent"], inspect(d, "busybox")["Id"])
    reply = d.api("DELETE", f"/images/{parent}")
    equal(reply.status, 409)
    has(reply.message, "image has dependent child images")
    d.ok("rmi", "chain")
    equal((ids(), ids(all=1)), (before, all_before))
    bad(d, "FROM busybox\nENV left=1\nRUN exit 1\n")
    equal(ids(), before)
    for filters in ({"until": ["1h"]}, {"label": ["nope"]}):
        equal(d.api("POST", "/build/prune", filters=filters, status=200).json["CachesDeleted"], [])
    has(d.api("POST", "/build/prune", filters={"nope": ["1"]}, status=400).message, "nope")
    has(d.ok("builder", "prune", "-f", "--filter", "until=1h"), "Total reclaimed space: 0B")
    assert ids(all=1) - all_before
    has(d.ok("builder", "prune"), "WARNING! This will remove all dangling build cache. Are you sure you want to continue? [y/N]")
    assert ids(all=1) - all_before
    has(d.ok("builder", "prune", "-af"), "Total reclaimed space:")
    assert not ids(all=1) - all_before
    bad(d, "FROM busybox\nENV left=1\nRUN exit 1\n")
    deleted = d.api("POST", "/build/prune", status=200).json["CachesDeleted"]
    assert deleted and not ids(all=1) - all_before, deleted


def test_how_much_of_the_cache_stays(d):
    """What was used last stays, as much as is asked for; what images have does not count."""
    mib = 1 << 20

    def left(name):
        return bool(re.search(rf"{name}=", str([d.api("GET", f"/images/{image['Id']}/history").json for image in d.api("GET", "/images/json", all=1).json])))
    d.api("POST", "/build/prune", status=200)
    kept = good(d, "FROM busybox\nRUN head -c 4000000 /dev/urandom > /kept\n", t="kept")
    for name in ("first", "second", "third"):
        bad(d, f"FROM busybox\nRUN : {name}= && head -c 2000000 /dev/urandom > /{name}\nRUN exit 1\n")
    bad(d, "FROM busybox\nRUN : first= && head -c 2000000 /dev/urandom > /first\nRUN exit 1\n")  # used once more

    def prune(**query):
        return d.api("POST", "/build/prune", status=200, **query).json
    for query in ({"keep-storage": 100 * mib}, {"reserved-space": 6000000}, {"max-used-space": 100 * mib}, {"min-free-space": 1},
                  {"max-used-space": 1, "reserved-space": 6000000}):
        equal(prune(**query), {"CachesDeleted": [], "SpaceReclaimed": 0}, query)
    gone = prune(**{"keep-storage": 4 * mib})
    equal((left("first"), left("second"), left("third")), (True, False, True))
    assert 2000000 <= gone["SpaceReclaimed"] < 6000000, gone
    has(d.ok("builder", "prune", "-f", "--keep-storage", "2m"), "Total reclaimed space: ")
    equal((left("first"), left("third")), (True, False))
    assert prune(**{"min-free-space": 1 << 60})["CachesDeleted"] and not left("first")
    has(d.api("POST", "/build/prune", status=400, **{"keep-storage": "much"}).message, "keep-storage")
    equal(inspect(d, "kept")["Id"], kept.id)
    d.ok("rmi", "kept")


def begun(d):
    """The connection of a build whose command runs and will not end."""
    connection = d.connect()
    connection.request("POST", "/build", context({"Dockerfile": "FROM busybox\nRUN echo begun; exec sleep 1000\n"}))
    reply, seen = connection.getresponse(), b""
    while b"begun\\n" not in seen:
        seen += reply.read1()
    return connection


def test_cancelled(d):
    before = d.settled_census()
    connection = begun(d)
    equal(len(d.api("GET", "/containers/json").json), 1)
    connection.sock.shutdown(2)
    connection.close()
    wait_for(lambda: d.api("GET", "/containers/json", all=1).json == [], "the container to go")
    d.assert_counts(before)


def resident(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) >> 10


def test_a_client_that_does_not_read(d):
    """What the command says waits with the command: not in the daemon's memory, and nothing is lost."""
    lines, connection = 2_000_000, d.connect()
    connection.request("POST", "/build?nocache=1", context({"Dockerfile": f"FROM busybox\nRUN seq {lines}\n"}))
    before, most = resident(d.pid), 0
    reply = connection.getresponse()
    for _ in range(20):
        time.sleep(0.1)
        most = max(most, resident(d.pid))
    assert most - before < 12 or SLOW > 1, (before, most)  # sanitizers keep what was freed
    text = "".join(json.loads(line).get("stream", "") for line in reply.read().split(b"\r\n") if line)
    connection.close()
    assert f"\n{lines // 2}\n" in text and f"\n{lines}\n" in text and "Successfully built" in text, text[-300:]
    equal(sum(line.isdigit() for line in text.split("\n")), lines)


def test_daemon_dies(d):
    before = d.settled_census()
    connection = begun(d)
    d.kill9()
    d.start()
    wait_for(lambda: d.api("GET", "/containers/json", all=1).json == [], "the container to go")
    d.assert_counts(before)
    connection.close()


def test_hostile_triggers(d):
    """An image may say anything to be a trigger, whoever made it."""
    good(d, "FROM busybox\n")
    for trigger in "FROM busybox", "ONBUILD RUN true", "RUN true\nFROM busybox":
        made = d.api("POST", "/containers/create", {"Image": "busybox"}).json["Id"]
        equal(d.api("POST", "/commit", {"OnBuild": [trigger]}, container=made, repo="hostile").status, 201)
        d.api("DELETE", f"/containers/{made}")
        has(bad(d, "FROM hostile\nRUN true\n"), "ONBUILD")
    equal(d.api("GET", "/_ping").status, 200)


def test_words_without_end(d):
    double = "".join(f"ARG a{n}=" + f"$a{n - 1}" * 15 + "\n" for n in range(1, 5))
    has(bad(d, f"ARG a0=0123456789abcde\n{double}ARG b={' b='.join(['$a4'] * 1000)}\nFROM busybox\n"), "too long")
    has(bad(d, f"FROM busybox\nARG a0=0123456789abcde\n{double}ENV{' b=$a4' * 1000}\n"), "too long")


def test_bytes_that_are_no_text(d):
    build_ok = good(d, body=None, text=None, files={"Dockerfile": b"# caf\xe9\nFROM busybox\nUSER n\xff\n"})
    equal(d.api("GET", f"/images/{build_ok.id}/json").json["Config"]["User"], "n\ufffd")
    assert bad(d, None, {"Dockerfile": "FROM busybox\nRUN exit 3; : " + "x" + "\u00e9" * 4000 + "\n"}).startswith("The command ")
    assert bad(d, None, {"Dockerfile": "FROM busybox\nRUN exit 3; : " + "\u00e9" * 4000 + "\n"}).startswith("The command ")


# Clients


def directory(path, files):
    for name, text in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(path)


def test_ctlc(d):
    place = directory(pathlib.Path(d.root) / "ctlc", {
        "Dockerfile": "FROM busybox\nARG a\nARG b\nCOPY . /c\nRUN echo $a-$b > /out\n", "x": "1", "no/x": "1", "no/yes": "1",
        "deep/er/skip.o": "1", ".dockerignore": "no\n!no/yes\n**/*.o\nDockerfile\n.dockerignore\n"})
    out = d.ok("build", "-t", "mine", "-t", "mine:2", "--build-arg", "a=1", "--label", "l=m", "--iidfile", f"{place}/../iid", place)
    has(out, "Step 5/6 : RUN", "Successfully tagged mine:2")
    equal(run(d, "mine", "sh", "-c", "cd /c; find . | sort; cat /out"), ".\n./deep\n./deep/er\n./no\n./no/yes\n./x\n1-")
    equal(inspect(d, "mine")["Config"]["Labels"], {"l": "m"})
    equal((pathlib.Path(place) / "../iid").read_text(), inspect(d, "mine")["Id"])
    equal(d.ok("build", "-q", "--build-arg", "a=1", "--label", "l=m", place), inspect(d, "mine")["Id"])
    # A Dockerfile from elsewhere, and from standard input; an archive from there.
    other = pathlib.Path(d.root) / "elsewhere"
    other.write_text("FROM busybox\nCOPY x /seen\n")
    for arguments in (["-f", str(other)], ["-f", "-"]):
        d.ok("build", "-t", "other", *arguments, place, input=other.read_bytes())
        equal(run(d, "other", "cat", "/seen"), "1")
    d.ok("build", "-t", "alone", "-", input=b"FROM busybox\nENV alone=1\n")
    d.ok("build", "-t", "packed", "-f", "D", "-", input=context({"D": "FROM busybox\nCOPY y /y\n", "y": "packed"}, "gz"))
    equal(run(d, "packed", "cat", "/y"), "packed")
    failed = d.ctl("build", "-", input=b"FROM busybox\nRUN exit 3\n")
    equal(failed.code, 3)
    has(failed.err, "returned a non-zero code: 3")
    has(d.fails(1, "build", "/nowhere"), 'path "/nowhere" not found')


def test_docker(d):
    place = directory(pathlib.Path(d.root) / "docker", {
        "Dockerfile": "FROM busybox AS a\nRUN echo 1 > /a\nFROM busybox\nARG v\nCOPY --from=a /a /b\nCOPY x no* /\nRUN echo $v >> /x\n",
        "x": "x\n", "not": "y", ".dockerignore": "not\n"})
    out = d.docker_ok("build", "-t", "cli", "--build-arg", "v=w", "--label", "l=m", "--ulimit", "nofile=100", "--add-host",
                      "h:1.2.3.4", "--memory", "100m", "--force-rm", place)
    has(out, "Successfully tagged cli:latest")
    equal(run(d, "cli", "cat", "/b", "/x"), "1\nx\nw")
    out = d.docker_ok("build", "-q", "--no-cache", place)
    assert out.startswith("sha256:") and len(out) == 71, out
    failed = d.docker("build", "-", input=b"FROM busybox\nRUN exit 9\n")
    equal(failed.code, 9)


def test_python(d):
    client = docker.DockerClient(base_url=f"unix://{d.sock}")
    image, logs = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo hello\nLABEL by=py\n"), tag="py:1", rm=True)
    equal((image.tags, image.labels), (["py:1"], {"by": "py"}))
    has("".join(line.get("stream", "") for line in logs), "hello\n")
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 2\n"))
        raise AssertionError("no error")
    except docker.errors.BuildError as error:
        has(str(error), "returned a non-zero code: 2")
    client.close()


DIFFERENTIAL = """ARG tag=latest
FROM busybox:$tag AS first
ENV a=b c="d e"
ARG x=1
RUN echo $x > /made && mkdir -p /deep/er && ln -s /made /link
FROM busybox
LABEL one=1 "two"='2 3'
MAINTAINER me
WORKDIR /work
WORKDIR sub
COPY file dir /here/
COPY --chown=7:8 dir owned
COPY --from=first /made /link /deep /from/
ADD packed.tar.gz /unpacked
COPY file renamed
COPY f* /link/
ENV v=$WHO w=${none:-x}
EXPOSE 80 53/udp
USER 1:1
VOLUME /v /w
STOPSIGNAL 9
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=3s CMD true
ONBUILD RUN true
ENTRYPOINT ["sh", "-c"]
CMD echo done
"""


def listing(tar):
    """What is in an exported root, but times and what engines put there."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        return sorted((m.name.strip("/"), m.type, oct(m.mode & 0o7777), m.uid, m.gid, m.size, m.linkname) for m in files
                      if m.name.strip("/").split("/")[0] not in ("bin", "dev", "proc", "sys", "etc", ".dockerenv", ""))


def test_like_dockerd(d):
    place = pathlib.Path(directory(pathlib.Path(d.root) / "same", {
        "Dockerfile": DIFFERENTIAL, "file": "1", "fool": "2", "dir/sub/x": "3", "dir/y": "4"}))
    (place / "packed.tar.gz").write_bytes(context({"in/side": "text"}, "gz"))
    saved = {}

    def config(whole):
        return {key: value for key, value in whole.items() if value and key not in ("Image", "Hostname")}

    d.docker_ok("build", "--network", "none", "-t", "same", str(place))
    image = inspect(d, "same")
    ours = history(d, "same")
    container = d.docker_ok("create", "same").strip()
    saved["ours"] = listing(d.request("GET", f"/v1.41/containers/{container}/export").body)
    with dockerd() as stock:
        assert stock("load", "-i", IMAGE)
        assert stock("build", "--network", "none", "-t", "same", str(place))
        theirs = json.loads(stock("image", "inspect", "same"))[0]
        lines = stock("history", "--no-trunc", "--format", "{{.CreatedBy}}", "same").strip().split("\n")
        other = stock("create", "same").strip()
        stock("export", "-o", f"{d.root}/theirs.tar", other)
        saved["theirs"] = listing(pathlib.Path(f"{d.root}/theirs.tar").read_bytes())
    equal(config(image["Config"]), config(theirs["Config"]), "config")
    equal(image["Author"], theirs["Author"])
    digests = re.compile(r"(file|dir|multi):[0-9a-f]{64}")
    skip = ("HEALTHCHECK",)  # dockerd prints a Go structure
    # A blank behind --chown is missing there.
    equal(*([digests.sub("HASH", line).replace("--chown=7:8HASH", "--chown=7:8 HASH") for line in side if not any(word in line for word in skip)]
            for side in (ours, lines)), "history")
    equal(sorted(set(saved["ours"]) - set(saved["theirs"])), sorted(set(saved["theirs"]) - set(saved["ours"])), "files")
