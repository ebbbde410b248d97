"""The HTTP layer: versions, errors, odd requests, limits."""
import json
import socket

from harness import SLOW, STOCK, equal, has


def raw_json(d, data):
    head, _, body = d.raw(data).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body


def get(path, *headers):
    lines = "".join(f"{h}\r\n" for h in ("Host: x", "Connection: close", *headers))
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def test_ping(d):
    reply = d.api("GET", "/_ping", status=200)
    equal(reply.body, b"OK")
    for name, value in (("Docker-Experimental", "false"), ("Ostype", "linux"), ("Pragma", "no-cache"),
                        ("Cache-Control", "no-cache, no-store, must-revalidate"),
                        ("Content-Type", "text/plain; charset=utf-8")):
        equal(reply.headers[name], value, name)
    assert reply.headers["Server"].startswith("Docker/") and reply.headers["Server"].endswith("(linux)")
    head = d.api("HEAD", "/_ping", status=200)
    equal((head.body, head.headers["Content-Length"]), (b"", "0"))
    if not STOCK:
        equal((head.headers["Api-Version"], head.headers["Builder-Version"]), ("1.51", "1"))


def test_version_and_info(d):
    version = d.api("GET", "/version", status=200).json
    info = d.api("GET", "/info", status=200).json
    equal(info["DockerRootDir"], d.data)
    equal(info["ServerVersion"], version["Version"])
    if not STOCK:
        equal((version["ApiVersion"], version["MinAPIVersion"]), ("1.51", "1.24"))
    d.sleeper()
    equal(d.api("GET", "/info", status=200).json["ContainersRunning"], 1)


def test_paths_with_and_without_version(d):
    for prefix in ("", "/v1.24", "/v1.41", "/v1.40"):
        equal(d.request("GET", f"{prefix}/containers/json").status, 200, prefix)
    if STOCK:
        return
    equal(d.request("GET", "/v1.51/networks/").status, 200)
    too_new = d.request("GET", "/v1.99/containers/json")
    equal((too_new.status, too_new.message),
          (400, "client version 1.99 is too new. Maximum supported API version is 1.51"))
    for version in ("1.23", "1.9"):
        old = d.request("GET", f"/v{version}/info")
        equal(old.status, 400)
        has(old.body.decode(), f"client version {version} is too old. Minimum supported API version is 1.24")


def test_unknown_path_and_wrong_method_are_404(d):
    for method, path in (("GET", "/nope"), ("POST", "/containers/json"), ("PUT", "/info"), ("GET", "/"),
                         ("PATCH", "/version")):
        reply = d.request(method, path)
        equal((reply.status, reply.message), (404, "page not found"), f"{method} {path}")
        equal(reply.headers["Content-Type"], "application/json")
    equal(d.request("GET", "/%2e%2e/etc/passwd").status in (301, 404), True)


def test_errors_are_json_of_exactly_that_type(d):
    reply = d.api("GET", "/containers/nope/json", status=404)
    equal(reply.headers["Content-Type"], "application/json")
    equal(reply.body, b'{"message":"No such container: nope"}\n')


def create(d, body, **headers):
    return d.request("POST", "/containers/create", body,
                     {"Content-Type": "application/json", **headers})


def test_bodies_of_create(d):
    for body, text in (
            (b"", "invalid JSON: got EOF while reading request body"),
            (b"{", "invalid JSON"),
            (b"nonsense", "invalid JSON"),
            (b"[]", "invalid JSON"),
            (b'{"Image":5}', "invalid JSON"),
            (b'{"Image":"busybox","Cmd":{"a":1}}', "invalid JSON"),
            (b'{"Image":"busybox","Env":"A=b"}', "invalid JSON"),
            (b'{"Image":"busybox","HostConfig":{"Memory":"lots"}}', "invalid JSON"),
            (b'{"Image":"busybox","HostConfig":[]}', "invalid JSON"),
            (b'{"Image":"busybox"} {"Image":"busybox"}', "unexpected content after JSON"),
            (b'{"Image":"\xff\xfe"}', ""),
            (b'{"Image":"busybox","Cmd":["a\\u0000b"]}', ""),
            (b"[" * 100000, "invalid JSON")):
        reply = create(d, body)
        if STOCK:
            continue
        equal(reply.status, 400, body[:50])
        has(reply.message, text)
    if not STOCK:
        equal(d.ok("ps", "-aq"), "")


def test_wrong_media_type(d):
    reply = d.request("POST", "/containers/create", b'{"Image":"busybox"}', {"Content-Type": "text/plain"})
    equal(reply.status, 400)
    if not STOCK:
        equal(reply.message, "unsupported Content-Type header (text/plain): must be 'application/json'")
    reply = d.request("POST", "/containers/create", b'{"Image":"busybox","Cmd":["true"]}',
                      {"Content-Type": "application/json; charset=utf-8"})
    equal(reply.status, 201)


def test_keys_match_without_case_and_null_is_absent(d):
    reply = create(d, b'{"image":"busybox","CMD":["sleep","1"],"env":null,"hostconfig":{"memory":8388608},'
                      b'"Unknown":{"x":[]},"Labels":null}')
    equal(reply.status, 201)
    details = d.inspect(reply.json["Id"])
    equal((details["Config"]["Cmd"], details["HostConfig"]["Memory"]), (["sleep", "1"], 8388608))


def test_command_as_a_string(d):
    reply = create(d, b'{"Image":"busybox","Cmd":"env"}')
    equal(d.inspect(reply.json["Id"])["Config"]["Cmd"], ["env"])


def test_chunked_body(d):
    body = b'{"Image":"busybox","Cmd":["true"]}'
    request = (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
               + b"".join(b"1\r\n" + body[i:i + 1] + b"\r\n" for i in range(len(body))) + b"0\r\n\r\n")
    equal(raw_json(d, request)[0], 201)


def test_expect_continue(d):
    body = b'{"Image":"busybox","Cmd":["true"]}'
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20 * SLOW)
        sock.connect(d.sock)
        sock.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert sock.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_keep_alive_and_pipelining(d):
    connection = d.connect()
    for _ in range(100):
        connection.request("GET", "/containers/json")
        reply = connection.getresponse()
        equal((reply.status, reply.read()), (200, b"[]\n"))
    connection.request("GET", "/containers/nope/json")
    connection.getresponse().read()
    connection.request("DELETE", "/containers/nope")
    equal(connection.getresponse().read() != b"", True)
    connection.close()
    both = d.raw(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" + get("/_ping"))
    equal(both.count(b"HTTP/1.1 200 OK"), 2)


def test_nonsense_on_the_socket(d):
    for data in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n",
                 b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                 b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET /_ping HTTP/1.1\r\n" + b"X-Y: z\r\n" * 20000 + b"\r\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(d.sock)
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    equal(d.request("GET", "/_ping").status, 200)


def test_clients_that_vanish(d):
    container = d.sleeper()
    for path in ("/events", f"/containers/{container}/logs?stdout=1&follow=1",
                 f"/containers/{container}/wait", "/containers/json"):
        for _ in range(10):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(d.sock)
            method = "POST" if path.endswith("wait") else "GET"
            sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock.close()
    equal(d.request("GET", "/_ping").status, 200)


def test_oversize_body(d):
    if STOCK:
        return
    reply = None
    try:
        reply = create(d, b'{"Image":"' + b"a" * (64 << 20) + b'"}')
    except OSError:
        pass  # it may hang up while we still send
    assert reply is None or reply.status in (400, 413), reply
    equal(d.request("GET", "/_ping").status, 200)


def test_absurd_requests(d):
    for body in ({"Image": "busybox", "Cmd": ["true"] * 200000},
                 {"Image": "busybox", "Cmd": ["true"], "Env": [f"A{i}=b" for i in range(200000)]},
                 {"Image": "busybox", "Cmd": ["true"], "Hostname": "h" * 10000},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": 2**63}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": -5}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"PidsLimit": 2**40}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Binds": ["x" * 100000 + ":/y"]}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Sysctls": {"a b": "c"}}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"PortBindings": {"99999/tcp": [{}]}}},
                 {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "container:"}},
                 {"Image": "x" * 10000, "Cmd": ["true"]}):
        reply = create(d, json.dumps(body).encode())
        if STOCK:
            continue
        if reply.status == 201:
            started = d.request("POST", f"/containers/{reply.json['Id']}/start")
            assert started.status in (204, 400, 404, 409, 500), (str(body)[:100], started)
        else:
            assert reply.status in (400, 404, 413, 501), (str(body)[:100], reply)
    equal(d.request("GET", "/_ping").status, 200)


def test_bad_names(d):
    for name in ("a", "-a", ".a", "a b", "a/b", "ü" * 3, "a" * 5000):
        reply = d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]}, name=name)
        if name == "a" * 5000:
            assert reply.status in (400, 201)
        else:
            equal(reply.status, 400, name)
            has(reply.message, "Invalid container name (")


def test_parameters_of_the_wrong_kind(d):
    container = d.sleeper()
    for method, path in (("POST", f"/containers/{container}/resize?h=x&w=1"),
                         ("GET", "/events?since=yesterday-ish"),
                         ("GET", f"/containers/{container}/logs?stdout=1&since=x")):
        reply = d.request(method, path)
        assert reply.status in (400, 500 if STOCK else 400), (path, reply)


def test_swarm_is_told_off(d):
    for path in ("/swarm", "/nodes", "/services", "/secrets"):
        reply = d.request("GET", path)
        assert reply.status in (404, 503), (path, reply)
