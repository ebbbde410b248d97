"""Another host: a network namespace beside ours, on a link of its own."""
import os
import subprocess

import host
from harness import SLOW

# Of the network for measurements (RFC 2544), other addresses for each process: test files run side by side.
_FIRST = os.getpid() % (1 << 15) * 4
HERE, THERE = (f"198.{18 + (_FIRST + n >> 16)}.{_FIRST + n >> 8 & 255}.{_FIRST + n & 255}" for n in (1, 2))


class Outside:
    netns, link = f"ctl-outside-{os.getpid()}", f"ctl-o{os.getpid()}"

    def __enter__(self):
        host.tool("ip", "netns", "add", self.netns)
        host.tool("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        host.tool("ip", "addr", "add", f"{HERE}/30", "dev", self.link)
        host.tool("ip", "link", "set", self.link, "up")
        for args in (("addr", "add", f"{THERE}/30", "dev", "eth0"), ("link", "set", "eth0", "up"),
                     ("link", "set", "lo", "up"), ("route", "add", "default", "via", HERE)):
            host.tool("ip", "-n", self.netns, *args)
        return self

    def __exit__(self, *_):
        host.tool("ip", "netns", "del", self.netns)
        host.tool("ip", "link", "del", self.link)

    def argv(self, *argv):
        return ["ip", "netns", "exec", self.netns, *argv]

    def run(self, *argv, timeout=60):
        """Standard output, or None if the program failed."""
        done = subprocess.run(self.argv(*argv), capture_output=True, text=True, timeout=timeout * SLOW, check=False)
        return done.stdout if done.returncode == 0 else None

    def start(self, *argv):
        return subprocess.Popen(self.argv(*argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def fetch(self, address, port):
        """The last line of a web server's answer, or None."""
        code = f"""import socket
s = socket.create_connection(({address!r}, {port}), 2)
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.makefile().read().splitlines()[-1])"""
        return (self.run("/usr/bin/python3", "-c", code) or "").strip() or None
