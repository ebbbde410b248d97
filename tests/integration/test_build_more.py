"""POST /build: what comes from elsewhere, stages side by side, the cache of other images, each option of a build."""
import io
import json
import os
import pathlib
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import host
from harness import SLOW, Daemon, equal, has, wait_for
from registries import Fake
from test_build import bad, build, context, directory, good, history, inspect, run, steps
from test_import_url import chunked, redirect, server
from test_registry import runnable


# ADD of a URL


def dated(data, text):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Last-Modified", text)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i in range(0, len(data), 50000):
            piece = data[i:i + 50000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")
    return answer


def moved(handler):
    handler.send_response(302)
    handler.send_header("Location", "/dir/file")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_added_from_a_url(d):
    big = os.urandom(3 << 20)
    tar = context({"in/side": "text"}, "gz")
    with server({"/dir/file": b"from afar", "/big": dated(big, "Wed, 21 Oct 2015 07:28:00 GMT"), "/x.tar.gz": tar,
                 "/old": moved, "/a%20b": b"blank", "/": b"no name"}) as s:
        b = good(d, f"FROM busybox\nADD {s.url}/dir/file /named\nADD {s.url}/dir/file?a=b {s.url}/a%20b /into/\n"
                 f"ADD {s.url}/big /etc\nADD --chown=7:8 --chmod=755 {s.url}/old /mine\nADD {s.url}/x.tar.gz /kept/\n"
                 f"ADD {s.url}/ /unnamed\n", t="fetched")
        has(b.text, "Step 2/7 : ADD http://127.0.0.1:")
        equal(run(d, "fetched", "sh", "-c", "cat /named /into/file '/into/a b' /mine /unnamed"),
              "from afar" * 2 + "blank" + "from afar" + "no name")
        equal(run(d, "fetched", "stat", "-c", "%u:%g %a %Y %s", "/named", "/etc/big", "/mine", "/kept/x.tar.gz"),
              f"0:0 600 0 9\n0:0 600 1445412480 {len(big)}\n7:8 755 0 9\n0:0 600 0 {len(tar)}")
        has("\n".join(history(d, "fetched")), "/bin/sh -c #(nop) ADD file:", " in /named ")
        assert any(line.get("status") == "Downloading" for line in b.lines), b.lines
        # A name is no pattern.
        for i, (quoted, name) in enumerate((("a%5b1%5d", "a[1]"), ("%2A", "*"), ("b%5Cc%3F", "b\\c?"))):
            s.answers[f"/{quoted}"] = name.encode()
            good(d, f"FROM busybox\nADD {s.url}/{quoted} /names/\n", t=f"name{i}")
            equal(run(d, f"name{i}", "sh", "-c", "cd /names; ls; cat *"), f"{name}\n{name}")
        # The cache goes by what comes, not by the name.
        text = f"FROM busybox\nADD {s.url}/dir/file /x\nRUN true\n"
        equal(steps(good(d, text).text), [True, True])
        equal(steps(good(d, text).text), [False, False])
        s.answers["/dir/file"] = b"other"
        equal(steps(good(d, text).text), [True, True])


def test_a_context_from_a_url(d):
    files = {"Dockerfile": "FROM busybox\nCOPY x /x\n", "x": "remote", "sub/D": "FROM busybox\nENV sub=1\n"}
    with server({"/plain.tar": context(files), "/packed": context(files, "xz"), "/Dockerfile": b"FROM busybox\nENV alone=1\n",
                 "/binary": b"\0\1\2"}) as s:
        for name in "plain.tar", "packed":
            equal(run(d, good(d, None, remote=f"{s.url}/{name}").id, "cat", "/x"), "remote")
        has(str(inspect(d, good(d, None, remote=f"{s.url}/packed", dockerfile="sub/D").id)["Config"]["Env"]), "sub=1")
        has(str(inspect(d, good(d, None, remote=f"{s.url}/Dockerfile", dockerfile="any").id)["Config"]["Env"]), "alone=1")
        equal(bad(d, None, remote=f"{s.url}/none"), f"unable to download the context: failed to GET {s.url}/none with status 404")
        has(bad(d, None, remote=f"{s.url}/binary"), "the Dockerfile holds a NUL byte")
        for remote in "git://x/y", "github.com/x/y", "git@x:y", f"{s.url}/repository.git", f"{s.url}/repository.git#branch:dir":
            equal(build(d, None, remote=remote).status, 400)
        client = docker.DockerClient(base_url=f"unix://{d.sock}")
        image, _ = client.images.build(path=f"{s.url}/packed", tag="far")
        equal(run(d, "far", "cat", "/x"), "remote")
        client.close()


def test_urls_that_fail(d):
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()

    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)
        handler.close_connection = True

    with server({"/cut": cut, "/": b"x", "/..": b"x", "/f": b"x"}) as s:
        equal(bad(d, f"FROM busybox\nADD {s.url}/none /x\n"), f"ADD failed: failed to GET {s.url}/none with status 404")
        has(bad(d, f"FROM busybox\nADD {s.url}/cut /x\n"), "ADD failed: ")
        equal(bad(d, f"FROM busybox\nADD {s.url}/ /x/\n"), f"ADD failed: cannot determine filename from url: {s.url}/")
        has(bad(d, f"FROM busybox\nADD {s.url}/%2e%2e /x/\n"), "cannot determine filename")
        has(bad(d, f"FROM busybox\nADD {s.url}/f local /x/\n", {"local": "1"}), "use one ADD for each")
        has(bad(d, f"FROM busybox\nADD {s.url}/f {s.url}/f /x\n"), "the destination must be a directory and end with a /")
        equal(bad(d, f"FROM busybox\nCOPY {s.url}/f /x\n"), "COPY failed: source can't be a URL for COPY")
        has(bad(d, "FROM busybox\nADD http://127.0.0.1:1/f /x\n"), "ADD failed: ")
        assert not any(b"secret" in path.encode() for path, _ in s.seen)
    d.assert_counts(before)


def test_credentials_of_urls_are_not_told(d):
    """The server gets them; who reads the output, an error, the history or the log does not."""
    def secretive(url):
        return url.replace("http://", "http://somebody:secret@")

    def told(b):
        return json.dumps(b.lines) + str(b.message)

    with server({"/f": b"x", "/": b"x", "/moved": redirect("http://other:secret@127.0.0.1:1/f"),
                 "/c": context({"Dockerfile": "FROM busybox\n"}, "gz")}) as s:
        url = secretive(s.url)
        b = good(d, f"FROM busybox\nADD {url}/f /x\nADD [\"{url}/f\", \"/y\"]\nONBUILD ADD {url}/f /z\n", t="secretive")
        equal([headers.get("Authorization") for _, headers in s.seen], ["Basic c29tZWJvZHk6c2VjcmV0"] * 2)
        has(b.text, f"Step 2/4 : ADD {s.url}/f /x\n", f'["{s.url}/f", "/y"]', f"ONBUILD ADD {s.url}/f /z\n")
        seen = [told(b), *history(d, "secretive")]
        equal(inspect(d, "secretive")["Config"]["OnBuild"], [f"ADD {url}/f /z"])
        b = good(d, "FROM secretive\n", t="triggered")
        seen += [told(b), *history(d, "triggered"), told(good(d, None, remote=f"{url}/c"))]
        for failing in ("/ /x/", "/none /x", "/${x /y", "/moved /x", "/f?a=secret x /y/"):
            seen.append(told(build(d, f"FROM busybox\nADD {url}{failing}\n")))
        for remote in (f"{url}/none", secretive("http://127.0.0.1:1/c"), "http://somebody:sec ret@127.0.0.1:1/c"):
            seen.append(told(build(d, None, remote=remote)))
        has(seen[-2], "127.0.0.1:1/c")
        has(bad(d, f"FROM busybox\nADD {url}/ /x/\n"), f"cannot determine filename from url: {s.url}/")
        seen.append(d.ctl("build", f"{url}/none").err)
    seen.append(pathlib.Path(d.log).read_text())
    for text in seen:
        assert "secret@" not in text and "somebody" not in text and "sec ret" not in text, text


def test_a_download_has_a_limit():
    """Whether the server says how much it is or not; and nothing is left."""
    with Daemon("--build-download-limit", "1m") as d:
        good(d, "FROM busybox\n")
        wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
        before = d.settled_census()
        most, more = os.urandom(1 << 20), os.urandom((1 << 20) + 1)
        with server({"/most": most, "/more": more, "/unsaid": chunked(more), "/most-unsaid": chunked(most)}) as s:
            for name in "more", "unsaid":
                text = f"{s.url}/{name} is larger than the 1048576 bytes that a build may download from a URL"
                equal(bad(d, f"FROM busybox\nADD {s.url}/{name} /x\n"), f"ADD failed: {text}")
                equal(bad(d, None, remote=f"{s.url}/{name}"), f"unable to download the context: {text}")
            wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what had come to be deleted")
            d.assert_counts(before)
            for name in "most", "most-unsaid":
                equal(run(d, good(d, f"FROM busybox\nADD {s.url}/{name} /x\n").id, "stat", "-c", "%s", "/x"), str(1 << 20))


def test_a_download_is_cancelled(d):
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    begun = []

    def slow(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        begun.append(1)
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
                time.sleep(0.01)
        except OSError:
            begun.append(2)

    with server({"/slow": slow}) as s:
        connection = d.connect()
        connection.request("POST", "/build", context({"Dockerfile": f"FROM busybox\nADD {s.url}/slow /x\n"}))
        wait_for(lambda: begun, "the download")
        connection.sock.shutdown(2)
        connection.close()
        wait_for(lambda: len(begun) == 2, "the server to be left alone")
    d.assert_counts(before)


# Images that are not here


def test_copied_from_an_image_that_is_not_here(d):
    with Fake() as fake:
        fake.add("parts", "v1", runnable("pulled"))
        name = f"{fake.host}/parts:v1"
        good(d, f"FROM busybox\nCOPY --from={name} /text /text\n", t="parted")
        equal(run(d, "parted", "cat", "/text"), "pulled")
        d.ok("rmi", name)
        # Two stages want it at the same time.
        good(d, f"FROM busybox AS one\nCOPY --from={name} /text /1\nFROM busybox\nCOPY --from={name} /text /2\n"
             "COPY --from=one /1 /1\n", t="parted", nocache="1")
        equal(run(d, "parted", "cat", "/1", "/2"), "pulled\npulled")
        has(bad(d, f"FROM busybox\nCOPY --from={fake.host}/none:1 / /\n"), "none")
        d.ok("rmi", "parted", name)


def test_pull(d):
    with Fake() as fake:
        fake.add("base", "v1", runnable("first"))
        name = f"{fake.host}/base:v1"
        text = f"FROM {name}\nLABEL a=b\n"
        equal(run(d, good(d, text).id, "/bin/busybox", "cat", "/text"), "first")
        fake.add("base", "v1", runnable("second"))
        equal(run(d, good(d, text).id, "/bin/busybox", "cat", "/text"), "first")
        b = good(d, text, pull="1")
        equal(run(d, b.id, "/bin/busybox", "cat", "/text"), "second")
        assert any("Pulling from base" in line.get("status", "") for line in b.lines), b.lines
        quiet = good(d, text, pull="1", q="1")
        assert not any("status" in line for line in quiet.lines), quiet.lines


def test_a_name_that_is_a_prefix_of_several_ids(d):
    """It is none of them: an image of that name can be pulled, as under dockerd."""
    ids = [good(d, f"FROM busybox\nENV n={n}\nEXPOSE {n + 1}-{n + 3}/udp\n").id.partition(":")[2] for n in range(17)]
    equal(sorted(inspect(d, ids[16])["Config"]["ExposedPorts"]), ["17/udp", "18/udp", "19/udp"])
    prefix = next(a[0] for a in ids if sum(b[0] == a[0] for b in ids) > 1)
    equal(d.api("GET", f"/images/{prefix}/json", status=404).message, f"No such image: {prefix}:latest")
    has(bad(d, f"FROM {prefix}\n"), f"library/{prefix}/manifests/latest")


# The cache of other images


def test_cache_from(d):
    text = "FROM busybox\nENV a=b\nRUN echo $RANDOM > /r\nCOPY x /x\nRUN cat /x > /y\n"
    first = good(d, text, {"x": "1"}, t="source")
    saved = d.api("GET", "/images/source/get", status=200).body
    d.ok("rmi", "source")
    d.api("POST", "/build/prune", status=200)
    equal(d.api("POST", "/images/load", saved).status, 200)
    # Nobody knows its steps; its history does.
    equal(steps(good(d, text, {"x": "1"}, cachefrom='["source"]').text), [False] * 4)
    b = good(d, text, {"x": "1"}, cachefrom='["nope", "source"]', t="again")
    equal(b.id, first.id)
    b = good(d, text, {"x": "2"}, cachefrom='["source"]', t="other")
    equal(steps(b.text), [False, False, True, True])
    equal(run(d, "other", "cat", "/y", "/r"), "2" + run(d, "source", "cat", "/r"))
    # Only what the named ones were made of.
    good(d, "FROM busybox\nENV only=here\nRUN true\n")
    equal(steps(good(d, "FROM busybox\nENV only=here\nRUN true\n", cachefrom='["source"]').text), [True, True])
    equal(steps(good(d, text, {"x": "1"}, cachefrom='["source"]', nocache="1").text), [True] * 4)
    equal(build(d, text, {"x": "1"}, cachefrom="{}").status, 400)


def test_cache_from_has_the_configuration_asked_for(d):
    """A history does not tell how often a health check is made."""
    text = "FROM busybox\nHEALTHCHECK --interval=%s CMD true\nCMD true\n"
    first = good(d, text % "5s", t="source")
    saved = d.api("GET", "/images/source/get", status=200).body
    d.ok("rmi", "source")
    d.api("POST", "/build/prune", status=200)
    equal(d.api("POST", "/images/load", saved).status, 200)
    equal(good(d, text % "5s", cachefrom='["source"]').id, first.id)
    for query in ({"cachefrom": '["source"]'}, {}):
        b = good(d, text % "9s", **query)
        equal(inspect(d, b.id)["Config"]["Healthcheck"]["Interval"], 9 * 10**9)


# Stages side by side


def test_stages_run_at_the_same_time(d):
    """Each waits for the other: one after the other they would never end."""
    with server({}) as s:
        met = set()

        def meet(name):
            def answer(handler):
                met.add(name)
                wait_for(lambda: len(met) == 3, "the other stages")
                handler.plain(name.encode())
            return answer

        for name in "abc":
            s.answers[f"/{name}"] = meet(name)
        b = good(d, "".join(f"FROM busybox AS {name}\nRUN echo say {name}\nADD {s.url}/{name} /{name}\n" for name in "abc")
                 + "FROM busybox AS unused\nRUN exit 9\n"
                 + "FROM a\nCOPY --from=b /b /\nCOPY --from=c /c /\n", t="met", nocache="1")
    equal(run(d, "met", "cat", "/a", "/b", "/c"), "abc")
    # Told of one after the other, as if they had run so.
    told = [line for line in b.text.split("\n") if line.startswith(("Step ", "say "))]
    equal([line.split()[1] for line in told], ["1/12", "2/12", "a", "3/12", "4/12", "5/12", "b", "6/12", "7/12", "8/12", "c",
                                               "9/12", "10/12", "11/12", "12/12"])


def test_a_stage_that_only_a_trigger_names(d):
    good(d, "FROM busybox\nONBUILD COPY --from=made /m /c\nONBUILD COPY --from=1 /n /e\n", t="onbuild")
    text = ("FROM busybox AS first\nRUN echo x > /k\nFROM busybox\nRUN echo y > /n\nFROM first AS made\nRUN cp /k /m\n"
            "FROM busybox AS unused\nRUN false\nFROM onbuild\nRUN cat /c /e > /all\nLABEL last=1\n")
    for labels in ({}, {"asked": "1"}):
        b = good(d, text, labels=labels)
        equal(run(d, b.id, "cat", "/all"), "x\ny")
        numbers = [tuple(map(int, step)) for step in re.findall("^Step ([0-9]+)/([0-9]+) : ", b.text, re.M)]
        equal(sorted(n for n, _ in numbers), list(range(1, 10 + len(labels))), b.text)
        equal(numbers[-1][1], 9 + len(labels))
    equal(bad(d, "FROM busybox AS made\nFROM busybox\nFROM onbuild\n"),
          "COPY failed: stat m: file does not exist")


def test_many_stages(d):
    """More than run at once, chains and forks among them."""
    text = "FROM busybox AS s0\nRUN echo 0 > /f\n"
    text += "".join(f"FROM s{n // 2} AS s{n}\nRUN echo {n} >> /f\nCOPY --from=s{n - 1} /f /g\n" for n in range(1, 12))
    text += "FROM busybox\n" + "".join(f"COPY --from=s{n} /f /f{n}\n" for n in range(12))
    good(d, text, t="many", nocache="1")
    equal(run(d, "many", "cat", "/f11", "/f8"), "0\n1\n2\n5\n11\n0\n1\n2\n4\n8")
    has(bad(d, "FROM busybox\n" * 1001), "more than 1000 stages")


def test_the_failure_of_one_ends_the_others(d):
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    b = build(d, "FROM busybox AS slow\nRUN echo slowly; exec sleep 1000\nFROM busybox AS bad\nRUN echo why; exit 5\n"
              "FROM slow\nCOPY --from=bad / /\n", nocache="1")
    equal(b.error["code"], 5)
    has(b.text, "Step 1/6 : FROM busybox AS slow", "\nwhy\n")
    equal(d.api("GET", "/containers/json", all=1).json, [])
    d.assert_counts(before)


def test_unread_output_of_one_that_has_ended(d):
    """Its build ends all the same: when another stage fails, when the client goes, with the daemon."""
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()

    def text(command):
        return (f"FROM busybox AS shown\nRUN {command}\nFROM busybox AS held\nRUN yes | head -c 3000000\n"
                "FROM shown\nCOPY --from=held / /\n")

    def ended(n):
        wait_for(lambda: len(d.api("GET", "/containers/json", all=1, filters='{"status": ["exited"]}').json) == n,
                 "a stage to have ended")

    with server({}) as s:
        go = []
        s.answers["/wait"] = lambda handler: (wait_for(lambda: go, "the others"), handler.send_error(404))
        with ThreadPoolExecutor(2) as pool:
            fails = pool.submit(build, d, text("true").replace("RUN true", f"ADD {s.url}/wait /x"), nocache="1")
            ended(1)
            go.append(1)
            has(fails.result().error["message"], "with status 404")
        d.assert_counts(before)
    for stop in (lambda c: c.sock.shutdown(2), lambda _: d.restart()):
        connection = d.connect()
        connection.request("POST", "/build?nocache=1", context({"Dockerfile": text("exec sleep 1000")}))
        ended(1)
        stop(connection)
        connection.close()
        wait_for(lambda: not d.api("GET", "/containers/json", all=1).json, "its containers to go")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what it left to be deleted")


def test_a_stage_that_is_not_shown_waits(d):
    """What it says is kept to a limit, then its command waits; all of it is told in the end."""
    lines = 300_000
    with server({}) as s:
        def late(handler):
            time.sleep(1.5)
            handler.plain(b"x")

        s.answers["/late"] = late
        b = good(d, f"FROM busybox AS a\nADD {s.url}/late /x\nFROM busybox AS b\nRUN seq {lines}\n"
                 "FROM a\nCOPY --from=b /etc/passwd /\n", nocache="1")
    equal(sum(line.isdigit() for line in b.text.split("\n")), lines)


# What commands say, and what they see


def test_bytes_behind_a_nul(d):
    b = good(d, "FROM busybox\nRUN printf 'before\\0behind\\0\\0end\\n'; printf 'a\\0' >&2\n", nocache="1")
    has(b.text, "before\0behind\0\0end\n", "\x1b[91ma\0\x1b[0m")
    out = d.command("ctlc", ("build", "--no-cache", "-"), input=b"FROM busybox\nRUN printf 'x\\0y\\n'\n").out
    has(out, "x\0y\n")


def test_many_variables(d):
    text = "FROM busybox\n" + "".join("ENV " + " ".join(f"v{n}_{i}=${{v0_{i}}}x" for i in range(900)) + "\n" for n in range(10))
    begun = time.monotonic()
    good(d, text + "RUN test $v9_899 = xx\n")
    assert time.monotonic() - begun < 60
    has(bad(d, text + "ENV " + " ".join(f"w{i}=1" for i in range(2000)) + "\n"), "more than 10000 environment variables")


def test_options(d):
    """Each reaches the commands."""
    script = ("FROM busybox AS first\nRUN echo never\nFROM busybox AS wanted\n"
              "RUN ulimit -n; cat /etc/hosts; ls /sys/class/net; cat /sys/fs/cgroup/memory.max "
              "/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; nproc; true\nFROM busybox\nRUN exit 1\n")
    b = good(d, script, target="wanted", nocache="1", memory=str(64 << 20), networkmode="host",
             labels={"one": "1", "two": "2"}, ulimits=[{"Name": "nofile", "Soft": 123, "Hard": 456}],
             extrahosts=["a.host:10.1.2.3", "b.host:10.3.2.1"], cpusetcpus="0")
    has(b.text, "123\n", "10.1.2.3\ta.host", "10.3.2.1\tb.host", "lo", f"\n{64 << 20}\n")
    assert "never" not in b.text and "exit 1" not in b.text
    equal(inspect(d, b.id)["Config"]["Labels"], {"one": "1", "two": "2"})
    reply = build(d, script, squash="1")
    equal((reply.status, reply.message), (400, "squash is only supported with experimental mode"))
    reply = d.ctl("network", "create", "for-builds")
    b = good(d, "FROM busybox\nRUN ls /sys/class/net; cat /etc/resolv.conf\n", networkmode="for-builds", nocache="1")
    has(b.text, "eth0", "127.0.0.11")
    d.ok("network", "rm", "for-builds")
    has(bad(d, "FROM busybox\nRUN true\n", networkmode="nosuch", nocache="1"), "nosuch")


def test_options_of_ctlc(d):
    with server({"/c": context({"Dockerfile": "FROM busybox\nCOPY x /x\n", "x": "far"})}) as s:
        has(d.ok("build", "-t", "fromafar", f"{s.url}/c"), "Successfully tagged fromafar:latest")
    equal(run(d, "fromafar", "cat", "/x"), "far")
    script = (b"FROM busybox AS a\nRUN nproc; ulimit -n; grep -c host.of /etc/hosts; cat /proc/1/cgroup; "
              b"df -k /dev/shm | tail -1; grep Seccomp: /proc/self/status\nFROM busybox\nRUN exit 1\n")
    out = d.ok("build", "--no-cache", "--cpuset-cpus", "0", "--cpuset-mems", "0", "-c", "512", "--cpu-period", "50000", "--cpu-quota",
               "25000", "--memory", "64m", "--memory-swap", "-1", "--cgroup-parent", "for-builds", "--shm-size", "2m", "--ulimit", "nofile=77:88", "--add-host", "host.of:10.0.0.1", "--network",
               "none", "--target", "a", "--compress", "--force-rm", "--pull=false", "-", input=script)
    has(out, "\n1\n77\n1\n", " 2048 ", "Step 2/2")
    has(d.fails(1, "build", "--squash", "-", input=script), "squash is only supported with experimental mode")
    has(d.fails(1, "build", "--security-opt", "seccomp=unconfined", "-", input=script), "security options on build")
    has(d.fails(1, "build", "--memory-swap", "much", "-", input=script), "invalid size: 'much'")


def test_compose(d):
    """docker-compose build: arguments, target, labels, cache_from, a Dockerfile of another name."""
    place = pathlib.Path(directory(pathlib.Path(d.root) / "compose", {
        "app/D": "FROM busybox AS base\nARG v=none\nRUN echo $v > /v\nFROM base AS more\nCOPY x /x\nFROM base\nRUN exit 1\n",
        "app/x": "from compose", "plain/Dockerfile": "FROM busybox\nENV plain=1\n",
        "docker-compose.yml": "version: '3.4'\nservices:\n  app:\n    image: composed\n    build:\n      context: app\n"
        "      dockerfile: D\n      target: more\n      args: {v: given}\n      labels: {l: m}\n      network: none\n"
        "      cache_from: [composed]\n  plain:\n    build: plain\n"}))

    def compose(*args):
        done = subprocess.run(["docker-compose", "-p", "made", "-f", str(place / "docker-compose.yml"), *args],
                              capture_output=True, text=True, timeout=120 * SLOW, check=False,
                              env={**os.environ, "DOCKER_HOST": f"unix://{d.sock}", "DOCKER_BUILDKIT": "0",
                                   "COMPOSE_DOCKER_CLI_BUILD": "0"})
        equal(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    has(compose("build"), "Successfully tagged composed:latest", "Successfully tagged made_plain:latest")
    equal(run(d, "composed", "cat", "/v", "/x"), "given\nfrom compose")
    equal(inspect(d, "composed")["Config"]["Labels"]["l"], "m")
    has(compose("build", "app"), "Using cache")
    has(compose("build", "--no-cache", "--build-arg", "v=else", "app"), "Successfully built")
    equal(run(d, "composed", "cat", "/v"), "else")
    equal(run(d, "made_plain", "env")[:7].count("PATH"), 1)


def test_limits_by_the_api(d):
    """What no client of the other tests sends: it holds for the containers of RUN."""
    words = good(d, "FROM busybox\nRUN cat /proc/self/cgroup; cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2>/dev/null; cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes; true\n",
                 cpushares=512, memory=64 << 20, memswap=96 << 20, cgroupparent="ctl-build-parent", cpuperiod=50000, cpuquota=25000, cpusetcpus="0", cpusetmems="0").text
    if host.pure_v2():  # its own cgroup is the root of what it sees; half the shares are half the weight
        has(words, "\n0::/\n50\n")
    else:
        has(words, "ctl-build-parent", "\n512\n")
    if not host.pure_v2() and pathlib.Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists():
        has(words, str(96 << 20))
    host.remove_cgroups("ctl-build-parent")
    for wrong in ({"cpushares": "many"}, {"cpusetcpus": "x"}, {"ulimits": "{"}, {"securityopt": '["no-new-privileges"]'}):
        assert bad(d, "FROM busybox\nRUN true\n", **wrong), wrong


def test_platforms(d):
    """An image of another platform that is here is not taken for the one that is asked for."""
    arch = inspect(d, "busybox")["Architecture"]
    other = "arm64" if arch == "amd64" else "amd64"
    equal(inspect(d, good(d, f"ARG p=linux/{arch}\nFROM --platform=$p busybox\nCMD true\n", t="mine").id)["Architecture"], arch)
    good(d, "FROM busybox\nCMD true\n", platform=f"linux/{arch}")
    with Fake() as fake:
        for text, query in ((f"FROM --platform=linux/{other} {fake.host}/app\n", {}), (f"FROM {fake.host}/app\n", {"platform": f"linux/{other}"})):
            fake.add("app", "latest", runnable(arch=arch))
            d.ok("pull", "-q", f"{fake.host}/app")
            has(bad(d, text, **query), f"does not match the specified platform (linux/{other}")
            fake.add("app", "latest", runnable(arch=other))
            equal(inspect(d, good(d, text + "LABEL a=b\n", **query).id)["Architecture"], other)
            d.ok("rmi", f"{fake.host}/app")
    has(bad(d, "FROM --platform=a/b/c/d busybox\n"), "a/b/c/d")


def test_docker_py(d):
    """The options of python3-docker's build."""
    client = docker.DockerClient(base_url=f"unix://{d.sock}")
    place = directory(pathlib.Path(d.root) / "py", {
        "other": "FROM busybox AS a\nARG x\nRUN echo $x; cat /etc/hosts\nFROM a AS b\nRUN exit 1\n", ".dockerignore": "skip\n", "skip": "1"})
    image, logs = client.images.build(path=place, dockerfile="other", tag="py", target="a", buildargs={"x": "val"}, nocache=True,
                                      labels={"k": "v"}, extra_hosts={"h": "10.0.0.9"}, network_mode="none", rm=True, forcerm=True,
                                      shmsize=1 << 20, cache_from=["busybox"], container_limits={"memory": 64 << 20})
    has("".join(line.get("stream", "") for line in logs), "val\n", "10.0.0.9\th")
    equal(image.labels, {"k": "v"})
    for _, kind in (("", "tar"), ("gzip", "gz")):
        packed = io.BytesIO(context({"Dockerfile": "FROM busybox\nCOPY y /y\n", "y": "1"}, kind if kind == "gz" else ""))
        client.images.build(fileobj=packed, custom_context=True, encoding="gzip" if kind == "gz" else None, tag="py2")
        equal(run(d, "py2", "cat", "/y"), "1")
    client.close()


def test_prune_spares_what_is_built(d):
    """Containers of a build look stopped between its steps, and its images are nobody's."""
    files = {f"f{i}": bytes(1 << 20) for i in range(6)}
    text = "FROM busybox\n" + "".join(f"COPY {name} /\nRUN echo {name} >/last\n" for name in files)
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(good, d, text, files, nocache=1)
        while not built.done():
            equal(d.request("POST", "/containers/prune").json["ContainersDeleted"], None)
            equal(d.request("POST", "/images/prune").status, 200)
            equal(d.request("POST", "/build/prune").status, 200)
            time.sleep(0.002)
        built.result()
