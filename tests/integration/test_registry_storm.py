"""Everything that changes the image store, all at once: whatever order it happens in, no image is
lost or broken, and nothing is left when all are removed."""
import hashlib
import os
import random
import sqlite3
import threading
import time

import imagemaker
from harness import IMAGE, equal, wait_for
from imagemaker import layer
from registries import Fake, Image, cut_after, digest, status

ROUNDS = 16
ALLOWED = {  # what may go wrong when others take things away
    "pull": (200,), "load": (200,), "rmi": (200, 404, 409), "prune": (200, 409), "tag": (201, 404)}


def make_images():
    """Five that share layers in all ways: a base, the same layer on top of several, one layer alone."""
    base = layer(imagemaker.busybox_files(IMAGE))
    noise = [layer({f"noise{n}": os.urandom(150_000)}) for n in range(4)]
    text = [layer({"text": f"{n}\n".encode()}) for n in range(5)]
    chains = [[base, text[0]], [base, noise[0], text[1]], [base, noise[0], noise[1], text[2]],
              [base, noise[1], noise[2], noise[3], text[3]], [base, *noise, text[4]]]
    return chains, [Image(chain, {"Cmd": ["/bin/busybox", "cat", "/text"]}) for chain in chains]


class Store:
    """What the data root holds, and what its database says of it."""

    def __init__(self, d):
        self.d = d

    def names(self, directory):
        return sorted(os.listdir(f"{self.d.data}/{directory}"))

    def column(self, query):
        with sqlite3.connect(f"file:{self.d.data}/db.sqlite?mode=ro", uri=True) as db:
            return sorted(row[0] for row in db.execute(query))

    def check(self):
        """Names on disk are those of the rows, and bytes are what their names say; the daemon finds
        no fault either."""
        self.d.ok("system", "fsck")
        equal(self.names("layers"), self.column("SELECT chain_id FROM layers"), "layers")
        equal(self.names("blobs/sha256"), self.column("SELECT digest FROM blobs"), "blobs")
        for name in self.names("blobs/sha256"):
            with open(f"{self.d.data}/blobs/sha256/{name}", "rb") as file:
                equal(hashlib.file_digest(file, "sha256").hexdigest(), name, "blob")

    def still(self):
        """Nothing half-made, nothing in the trash."""
        return not self.names("tmp")

    def all(self):
        return {name: self.names(name) for name in ("layers", "blobs/sha256", "blobs/partial",
                                                    "containers", "tmp")}

    def settle(self, before):
        """All is as it was."""
        for _ in range(200):
            if self.all() == before:
                return
            time.sleep(0.1)
        equal(self.all(), before)


class Storm:
    """Threads that do one kind of thing each, a bounded number of times."""

    def __init__(self, d, fake, chains, images):
        self.d, self.fake, self.images = d, fake, images
        self.archives = [imagemaker.docker_archive(chain, [self.name(n)],
                                                   {"Cmd": ["/bin/busybox", "cat", "/text"]}, True)
                         for n, chain in enumerate(chains)]
        self.problems, self.done = [], {}

    def name(self, n):
        return f"{self.fake.host}/app{n}:v1"

    def act(self, what, method, path, **options):
        reply = self.d.request(method, path, **options)
        self.done.setdefault(what, []).append(reply.status)
        if reply.status not in ALLOWED[what] or (reply.status == 200 and b'"errorDetail"' in reply.body):
            self.problems.append((what, path, reply))

    def await_image(self, n):
        """Whoever takes from the store lets the others bring something first, but not for long."""
        for _ in range(40):
            if self.d.request("GET", f"/images/{self.name(n)}/json").status == 200:
                return
            time.sleep(0.02)

    def pull(self, n, _):
        self.act("pull", "POST", f"/images/create?fromImage={self.name(n)}")

    def load(self, n, _):
        self.act("load", "POST", "/images/load", body=self.archives[n],
                 headers={"Content-Type": "application/x-tar"})

    def rmi(self, n, luck):
        self.await_image(n)
        self.act("rmi", "DELETE", f"/images/{self.name(n)}?force={luck.randrange(2)}")

    def tag(self, n, luck):
        self.await_image(n)
        self.act("tag", "POST", f"/images/{self.name(n)}/tag?repo=other&tag=t{luck.randrange(3)}")

    def prune(self, n, luck):
        self.await_image(n)
        dangling = luck.choice(("true", "false"))
        self.act("prune", "POST", '/images/prune?filters={"dangling":["%s"]}' % dangling)

    def run(self, n, _):
        self.await_image(n)
        done = self.d.ctl("run", "--rm", "--pull", "never", self.name(n))
        self.done.setdefault("run", []).append(done.code)
        if (done.code, done.out) != (0, f"{n}\n") and not (
                done.code == 125 and "No such image" in done.err):
            self.problems.append(("run", n, done))

    def loop(self, action, seed):
        luck = random.Random(seed)
        try:
            for _ in range(ROUNDS):
                action(luck.randrange(len(self.images)), luck)
        except Exception as error:  # a thread's end must be the test's
            self.problems.append((action.__name__, error))

    def go(self):
        actions = [self.pull, self.pull, self.pull, self.load, self.rmi, self.rmi, self.tag,
                   self.prune, self.run, self.run]
        threads = [threading.Thread(target=self.loop, args=(action, seed))
                   for seed, action in enumerate(actions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def remove_all(d):
    d.api("POST", "/images/prune", filters={"dangling": ["false"]}, status=200)
    for image in d.api("GET", "/images/json", status=200).json:
        if "busybox:latest" not in (image["RepoTags"] or []):
            d.api("DELETE", f"/images/{image['Id']}", force=1, status=200)


def test_all_at_once(d):
    chains, images = make_images()
    store = Store(d)
    d.ok("run", "--rm", "busybox", "true")
    keeper = d.sleeper()  # its image is in use: prune must leave it
    wait_for(store.still, "what went before to be removed")
    before = store.all()
    with Fake() as fake:
        for n, image in enumerate(images):
            fake.add(f"app{n}", "v1", image)
            fake.fail("blobs", digest(image.layers[-1]), cut_after(image.layers[-1], 100), status(500))
        storm = Storm(d, fake, chains, images)
        storm.go()
        equal(storm.problems, [])
        for what in ("pull", "load", "rmi", "prune", "run"):
            good = [code for code in storm.done[what] if code in (0, 200)]
            assert len(good) >= ROUNDS / 4, (what, storm.done)
        wait_for(store.still, "the stages to be removed")
        store.check()
        for n, image in enumerate(images):  # all can be had, and are whole
            d.ok("pull", "-q", storm.name(n))
            equal(d.ok("run", "--rm", storm.name(n)), str(n))
            equal(d.api("GET", f"/images/{storm.name(n)}/json", status=200).json["Id"], image.id)
        store.check()
    remove_all(d)
    store.settle(before)
    store.check()
    equal(d.ok("exec", keeper, "echo", "alive"), "alive")


def test_killed_in_the_middle_of_it(d):
    """The daemon dies while all this happens: what it finds when it comes back is whole."""
    chains, images = make_images()
    store = Store(d)
    keeper = d.sleeper()
    wait_for(store.still, "what went before to be removed")
    before = store.all()
    with Fake() as fake:
        for n, image in enumerate(images):
            fake.add(f"app{n}", "v1", image)
        storm = Storm(d, fake, chains, images)
        for n in range(3):
            thread = threading.Thread(target=storm.go)
            thread.start()
            wait_for(lambda n=n: len(storm.done.get("load", [])) > n * 2 and "pull" in storm.done,
                     "the storm")
            d.kill9()
            thread.join()
            d.start()
            storm.done.clear()
            wait_for(store.still, "the stages to be removed")
            store.check()
        for n in range(len(images)):
            d.ok("pull", "-q", storm.name(n))
            equal(d.ok("run", "--rm", storm.name(n)), str(n))
    for entry in d.api("GET", "/containers/json", all=1, status=200).json:
        if entry["Id"] != keeper:
            d.api("DELETE", f"/containers/{entry['Id']}", force=1, status=204)
    remove_all(d)
    store.settle(before)
    store.check()
