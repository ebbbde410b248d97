"""A shop of real parts: nginx before a program in Python, which keeps its data in PostgreSQL and Redis.

The images are made of this host's own files; who comes from outside is a network namespace beside ours."""
import glob
import json
import os
import re
import subprocess
import sys
import urllib.request

from harness import SLOW, equal, has, wait_for
from outside import HERE, THERE, Outside

POSTGRES = max(glob.glob("/usr/lib/postgresql/*"))
VERSION = os.path.basename(POSTGRES)
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
USERS = ("/etc/passwd", "/etc/group")
IMAGES = {
    "proxy": ["nginx", "sh", *USERS],
    "cache": ["redis-server"],
    "db": [f"{POSTGRES}/bin/postgres", f"{POSTGRES}/bin", f"{POSTGRES}/lib/plpgsql.so", f"{POSTGRES}/lib/dict_snowball.so",
           *glob.glob(f"{POSTGRES}/lib/*_and_*.so"), f"/usr/share/postgresql/{VERSION}", "sh", "chown", "setpriv", *USERS],
    "app": [f"/usr/bin/{PYTHON}", f"/usr/lib/{PYTHON}", f"{POSTGRES}/bin/psql"],
    "tools": ["iperf3", "dig", "socat", "sh"],
}
APP = f"""
import http.server, os, socket, subprocess

def redis(line):
    with socket.create_connection(("cache", 6379), 5) as s:
        s.sendall(line.encode() + b"\\r\\n")
        return s.makefile().readline().strip().lstrip(":+")

def sql(text):
    return subprocess.run(["{POSTGRES}/bin/psql", "-h", "db", "-U", "postgres", "-qAtc", text], check=True, timeout=10,
                          stdout=subprocess.PIPE, text=True).stdout.split()

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, work):
        try:
            code, text = 200, work()
        except Exception as e:
            code, text = 503, repr(e)
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(lambda: " ".join([os.uname().nodename, redis("INCR hits"), *sql("select text from notes order by text")]))

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.answer(lambda: " ".join(sql(f"create table if not exists notes (text text); insert into notes values ('{{text}}')")))

    def log_message(self, *args):
        print("asked by", self.headers["X-Real-IP"], flush=True)

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
# The name is looked up again and again by nginx's own resolver.
NGINX = """
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    resolver 127.0.0.11 valid=1s;
    server {
        listen 80;
        set $backend app:8000;
        location / { proxy_pass http://$backend; proxy_set_header X-Real-IP $remote_addr; proxy_connect_timeout 2s; }
    }
}
"""
DB = f"""set -e
as="setpriv --reuid postgres --regid postgres --clear-groups"
chown postgres:postgres /data
if ! [ -s /data/ready ]; then
    $as {POSTGRES}/bin/initdb --no-sync --no-locale -E UTF8 -A trust -D /data
    echo "host all all all trust" >>/data/pg_hba.conf
    echo yes >/data/ready
fi
exec $as {POSTGRES}/bin/postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp"""


def make_images(d):
    if d.ok("images", "-q", "shop/*"):
        return
    for name, files in IMAGES.items():
        d.ok("image", "from-host", f"shop/{name}", *files, timeout=120)
    write(f"{d.root}/app.py", APP)
    write(f"{d.root}/nginx.conf", NGINX)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)


def start_shop(d):
    """Ids of db, cache, app, proxy."""
    db = d.run_detached("--name", "db", "--network", "back", "-v", "pgdata:/data", "--stop-signal", "SIGINT", "shop/db", "sh", "-c", DB)
    cache = d.run_detached("--name", "cache", "--network", "back", "-v", "redisdata:/data", "shop/cache", "redis-server", "--dir", "/data",
                           "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no")
    app = d.ok("create", "--name", "app", "--hostname", "app-1", "--network", "front", "shop/app", PYTHON, "/app.py")
    d.ok("network", "connect", "back", app)
    d.ok("cp", f"{d.root}/app.py", f"{app}:/app.py")
    proxy = d.ok("create", "--name", "proxy", "--network", "front", "-p", "8591:80", "shop/proxy", "nginx", "-c", "/nginx.conf")
    d.ok("cp", f"{d.root}/nginx.conf", f"{proxy}:/nginx.conf")
    d.ok("start", app, proxy)
    return db, cache, app, proxy


def question(text=None, limit=5):
    return ["/usr/bin/python3", "-c", f"""import urllib.request
print(urllib.request.urlopen("http://{HERE}:8591/", data={text and text.encode()!r}, timeout={limit}).read().decode())"""]


def ask(outside, text=None):
    """What the shop answers somebody outside; None: not that it should."""
    return outside.run(*question(text))


def address_of(d, container, network):
    return d.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]


def hits(answer):
    return int(answer.split()[1])


def check_isolation(d, outside, db, cache, app, proxy):
    """Only what is published is seen from outside, and the proxy sees the program alone."""
    for container, network, port in ((db, "back", 5432), (cache, "back", 6379), (app, "front", 8000), (proxy, "front", 80)):
        to = f"TCP:{address_of(d, container, network)}:{port},connect-timeout=1"
        equal(outside.run("socat", "-u", "/dev/null", to), None, to)
    for args, wanted in ((("app",), address_of(d, app, "front")), (("db",), ""), (("-x", address_of(d, app, "front")), "app.front.")):
        equal(d.ok("run", "--rm", "--network", "front", "shop/tools", "dig", "+short", "+tries=1", *args), wanted, args)
    answer = d.ok("run", "--rm", "--network", "back", "shop/tools", "dig", "+tcp", "+bufsize=1400", "db", "A")
    has(answer, "status: NOERROR", "EDNS: version: 0", address_of(d, db, "back"))


def test_shop(d):
    make_images(d)
    d.ok("network", "create", "front")
    d.ok("network", "create", "--internal", "back")
    db, cache, app, proxy = start_shop(d)
    with Outside() as outside:
        wait_for(lambda: ask(outside, "first") is not None, f"the shop to take a note; {d.ok('logs', app)} {d.ok('logs', db)}", 60)
        before = ask(outside)
        has(before, "app-1", "first")
        check_isolation(d, outside, db, cache, app, proxy)
        # Whom the proxy sees is who really asks, and what comes back comes from where it was sent to.
        has(d.ok("logs", app), f"asked by {THERE}")
        d.ok("rm", "-f", db, cache, app, proxy)
        d.kill9()
        d.start()
        db, cache, app, proxy = start_shop(d)
        after = wait_for(lambda: ask(outside), "the shop to open again", 60)
        has(after, "first")
        assert hits(after) > hits(before), (before, after)
        # What runs goes on without the daemon; a name that is asked for meanwhile is answered by the next one.
        d.kill9()
        waiting = outside.start(*question(limit=60))
        d.start()
        has(waiting.communicate(timeout=90 * SLOW)[0], "first")
        equal(d.ok("stop", "-t", "30", db), db)
        equal(d.state(db)["ExitCode"], 0, "PostgreSQL was told to stop, and did")
        d.ok("start", db)
        wait_for(lambda: "first" in (ask(outside) or ""), "the database's second start", 60)
    d.ok("rm", "-f", db, cache, app, proxy)
    d.ok("network", "rm", "front", "back")
    d.ok("volume", "rm", "pgdata", "redisdata")


def test_traffic_seen_from_outside(d):
    """TCP by iperf3 both ways, UDP by socat, the addresses on the wire by tcpdump."""
    make_images(d)
    d.ok("network", "create", "wire")
    speed = d.run_detached("--network", "wire", "-p", "5201:5201", "-p", "5201:5201/udp", "shop/tools", "iperf3", "-s")
    echo = d.run_detached("--network", "wire", "-p", "7007:7007/udp", "shop/tools", "socat", "UDP-RECVFROM:7007,fork", "PIPE")
    with Outside() as outside:
        capture = f"{d.root}/wire.pcap"
        dump = outside.start("tcpdump", "-i", "eth0", "-n", "-U", "-s", "96", "-c", "400", "-w", capture, "ip")
        has(dump.stdout.readline(), "listening on eth0")
        # The server stops counting when the client has sent all: what is under way then is not in the sum.
        for args in (("-n", "64M"), ("-n", "64M", "-R"), ("-n", "2M", "-u", "-b", "20M")):
            out = wait_for(lambda: outside.run("iperf3", "-J", "-c", HERE, *args), f"iperf3 {args}")
            found = json.loads(out)["end"]
            assert (found.get("sum_received") or found["sum"])["bytes"] > 1 << 20, found
        wait_for(lambda: outside.run("sh", "-c", f"echo word | socat -t 2 - UDP:{HERE}:7007") == "word\n", "an answer by UDP")
        dump.wait(60 * SLOW)
        lines = subprocess.run(["tcpdump", "-n", "-r", capture], capture_output=True, text=True, check=True).stdout.splitlines()
        ends = {a for line in lines for a in re.findall(r"(\d+\.\d+\.\d+\.\d+)(?:\.\d+)?(?= >|:)", line)}
        equal(ends, {HERE, THERE}, "no address of a container is seen outside")
    d.ok("rm", "-f", speed, echo)
    d.ok("network", "rm", "wire")


COMPOSE = """version: "3.7"
services:
  db:
    image: shop/db
    command: ["sh", "-c", %(db)s]
    volumes: ["pgdata:/data"]
    networks: [back]
    healthcheck:
      test: ["CMD", "%(bin)s/pg_isready", "-q", "-h", "127.0.0.1"]
      interval: 1s
      retries: 60
  cache:
    image: shop/cache
    command: ["redis-server", "--protected-mode", "no"]
    networks: [back]
  app:
    image: shop/app
    command: ["%(python)s", "-u", "/app.py"]
    volumes: ["%(root)s/app.py:/app.py:ro"]
    depends_on: [db, cache]
    networks: [front, back]
  proxy:
    image: shop/proxy
    command: ["nginx", "-c", "/nginx.conf"]
    volumes: ["%(root)s/nginx.conf:/nginx.conf:ro"]
    depends_on: [app]
    ports: ["127.0.0.1:8592:80"]
    networks: [front]
networks:
  front: {}
  back: {internal: true}
volumes:
  pgdata: {}
"""


def visit(data=None):
    try:
        with urllib.request.urlopen("http://127.0.0.1:8592/", data=data, timeout=5) as reply:
            return reply.read().decode()
    except OSError:
        return None


def test_compose(d):
    make_images(d)
    path = f"{d.root}/docker-compose.yml"
    write(path, COMPOSE % {"db": json.dumps(DB.replace("$", "$$")), "bin": f"{POSTGRES}/bin", "python": PYTHON, "root": d.root})

    def compose(*args):
        done = subprocess.run(["docker-compose", "-p", "shop", "-f", path, *args], capture_output=True, text=True, timeout=150 * SLOW,
                              env={**d.environment(), "COMPOSE_ANSI": "never"}, stdin=subprocess.DEVNULL, check=False)
        equal(done.returncode, 0, (args, done.stdout, done.stderr))
        return done.stdout

    compose("up", "-d")
    wait_for(lambda: visit(b"kept") is not None, "a note", 60)
    has(visit(), "kept")
    compose("up", "-d", "--scale", "app=3")
    wanted = {d.inspect(c)["Config"]["Hostname"] for c in compose("ps", "-q", "app").split()}
    equal(len(wanted), 3)
    seen = set()
    wait_for(lambda: seen.update((visit() or "none").split()[:1]) or seen >= wanted, f"all of {wanted} to be asked", 60)
    equal(compose("exec", "-T", "db", f"{POSTGRES}/bin/psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", "select text from notes"), "kept\n")
    has(compose("logs", "--no-color", "app"), "app_1", "app_2", "app_3", "asked by")
    wait_for(lambda: "(healthy)" in compose("ps"), "the database's health")
    compose("down", "-t", "5")
    equal(visit(), None)
    compose("up", "-d", "--scale", "app=2")
    wait_for(lambda: "kept" in (visit() or ""), "what was kept in the volume", 60)
    compose("down", "-t", "5", "-v")
    equal((d.ok("ps", "-aq"), d.ok("volume", "ls", "-q")), ("", ""))
