"""import from a URL: what a server sends, whole or not at all."""
import contextlib
import gzip
import http.server
import json
import os
import threading

import imagemaker
from harness import IMAGE, SLOW, equal, has, wait_for
from imagemaker import layer


def rootfs(**more):
    return layer({**imagemaker.busybox_files(IMAGE), "text": b"from afar\n",
                  **more})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path.split("?")[0])
        if answer is None:
            self.send_error(404)
        elif callable(answer):
            answer(self)
        else:
            self.plain(answer)

    def plain(self, data):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server(answers):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        s.answers, s.seen, s.daemon_threads = answers, [], True
        s.url = f"http://127.0.0.1:{s.server_address[1]}"
        threading.Thread(target=s.serve_forever, daemon=True).start()
        try:
            yield s
        finally:
            s.shutdown()


def chunked(data):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i in range(0, len(data), 50000):
            piece = data[i:i + 50000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")
    return answer


def cut(data, at):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:at])
        handler.wfile.flush()
        handler.close_connection = True
    return answer


def redirect(location):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
    return answer


def image(d, name):
    return d.api("GET", f"/images/{name}/json", status=200).json


def create(d, **parameters):
    reply = d.api("POST", "/images/create", status=200, **parameters)
    return [json.loads(line) for line in reply.body.splitlines()]


def stages(d):
    return os.listdir(f"{d.data}/tmp")


def test_clients(d):
    data = rootfs()
    with server({"/plain.tar": data, "/packed.tar.gz": gzip.compress(data), "/chunked": chunked(data)}) as s:
        for number, (client, path) in enumerate([(d.ok, "plain.tar"), (d.docker_ok, "packed.tar.gz"),
                                                 (d.ok, "chunked")]):
            name = f"afar:{number}"
            out = client("import", "-c", 'CMD ["/bin/busybox", "cat", "/text"]', "-m", "a message",
                         "--platform", "linux/amd64", f"{s.url}/{path}", name)
            equal(out.splitlines()[-1], image(d, name)["Id"])
            equal(d.ok("run", "--rm", name), "from afar")
            equal((image(d, name)["Comment"], image(d, name)["Architecture"]), ("a message", "amd64"))
        equal({image(d, f"afar:{n}")["RootFS"]["Layers"][0] for n in range(3)},
              {f"sha256:{imagemaker.sha256(data)}"})


def test_what_is_told(d):
    data = rootfs(big=bytes(3 << 20))
    with server({"/a": redirect("/b"), "/b": data}) as s:
        # Without a scheme it is http; a secret is shown to nobody.
        lines = create(d, fromSrc=f"{s.url.removeprefix('http://')}/a?secret=1", repo="told", tag="1")
        equal([path for path, _ in s.seen], ["/a?secret=1", "/b"])
    equal(lines[0], {"status": f"Downloading from {s.url}/a"})
    equal(lines[-1], {"status": image(d, "told:1")["Id"]})
    last = lines[-2]
    equal((last["status"], last["progressDetail"]), ("Importing", {"current": len(data), "total": len(data)}))
    equal(image(d, "told:1")["Comment"], f"Imported from {s.url}/a")


def test_what_fails_before(d):
    with server({}) as s:
        has(d.api("POST", "/images/create", status=404, fromSrc=f"{s.url}/none").message, "404", "/none")
        equal(len(s.seen), 1)
        for wrong in ({"repo": "UPPER"}, {"changes": "FROM x"}, {"platform": "plan9/amd64"}):
            d.api("POST", "/images/create", status=400, fromSrc=f"{s.url}/none", **wrong)
        equal(len(s.seen), 1, "requests: what is wrong is found before")
    for url in ("ftp://127.0.0.1/x", "file:///etc/passwd"):
        d.api("POST", "/images/create", status=400, fromSrc=url)
    has(d.api("POST", "/images/create", status=503, fromSrc=f"{s.url}/gone").message, "refused")
    has(d.fails(1, "import", f"{s.url}/gone"), "refused")
    equal(len(d.api("GET", "/images/json", status=200).json), 1)


def test_what_fails_on_the_way(d):
    data = rootfs()
    # The second is cut where an archive may end, the third is none.
    with server({"/cut": cut(data, 100000), "/even": cut(data + bytes(10240), len(data)),
                 "/no": b"no archive" * 1000, "/loop": redirect("/loop")}) as s:
        for path in ("/cut", "/even", "/no"):
            lines = create(d, fromSrc=f"{s.url}{path}", repo="broken")
            assert lines[-1]["error"] == lines[-1]["errorDetail"]["message"], lines
        has(d.api("POST", "/images/create", status=503, fromSrc=f"{s.url}/loop").message, "redirects")
    equal(len(d.api("GET", "/images/json", status=200).json), 1)
    wait_for(lambda: not stages(d), "the stages to go")


def endless(event):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(rootfs(big=bytes(1 << 20))[:-2000])
            handler.wfile.flush()
            event.wait(60 * SLOW)
        handler.close_connection = True
    return answer


def test_client_leaves_and_daemon_ends(d):
    done = threading.Event()
    with server({"/endless": endless(done)}) as s:
        client = d.spawn_client("import", f"{s.url}/endless", "left:1")
        wait_for(lambda: stages(d), "the import")
        client.kill()
        client.communicate()
        wait_for(lambda: not stages(d), "its stage to go")
        client = d.spawn_client("import", f"{s.url}/endless", "left:2")
        wait_for(lambda: stages(d), "the import")
        equal(d.stop(), 0)
        equal(client.wait(60 * SLOW), 1)
        client.communicate()
        done.set()
    d.start()
    wait_for(lambda: not stages(d), "what the last daemon left to go")
    equal(len(d.api("GET", "/images/json", status=200).json), 1)


def test_a_password_is_not_told(d):
    """Neither in the error of a request nor in what is kept in the image."""
    url = "http://somebody:secret@127.0.0.1:1/x.tar?token=secret"
    reply = d.api("POST", "/images/create", fromSrc=url, status=503)
    has(reply.message, 'Get "http://127.0.0.1:1/x.tar": ', "connection refused")
    err = d.ctl("import", url, "x").err
    has(err, '"http://127.0.0.1:1/x.tar"')
    assert "token" not in reply.message + err and "somebody" not in reply.message + err, (reply, err)
    with server({"/x.tar": rootfs()}) as s:
        out = d.ok("import", s.url.replace("http://", "http://somebody:secret@") + "/x.tar?token=secret", "secretive:1")
        assert "secret@" not in out and "token" not in out, out
        equal(s.seen[0][1]["Authorization"], "Basic c29tZWJvZHk6c2VjcmV0")
        assert "secret@" not in json.dumps(image(d, "secretive:1"))
