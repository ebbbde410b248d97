"""A program under a pseudo terminal: type, expect, resize."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SLOW = float(os.environ.get("CTL_SLOW", "1"))


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    def __init__(self, argv, env, rows=24, columns=80):
        self.output = ""     # all of it, for messages
        self.unread = ""     # not yet matched by expect()
        self.argv = argv
        pid, fd = pty.fork()
        if pid == 0:
            set_size(0, rows, columns)  # before the program can ask for it
            os.execvpe(argv[0], argv, env)
        self.pid, self.fd, self.status = pid, fd, None

    def resize(self, rows, columns):
        set_size(self.fd, rows, columns)

    def send(self, text):
        os.write(self.fd, text.encode())

    def _more(self, seconds):
        """Read what there is; False at the end of the output."""
        ready, _, _ = select.select([self.fd], [], [], max(0, seconds))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        text = data.decode(errors="replace")
        self.output += text
        self.unread += text
        return bool(data)

    def expect(self, pattern, limit=30):
        """Wait until the output matches the regular expression; returns the match."""
        deadline = time.monotonic() + limit * SLOW
        alive = True
        while True:
            match = re.search(pattern, self.unread)
            if match:
                self.unread = self.unread[match.end():]
                return match
            if not alive or time.monotonic() > deadline:
                what = "ended" if not alive else "is silent"
                raise AssertionError(f"{self.argv} {what}, wanted {pattern!r}, got {self.output!r}")
            alive = self._more(min(1, deadline - time.monotonic()))

    def wait(self, limit=30):
        """Read to the end and return the exit status as a shell would tell it."""
        deadline = time.monotonic() + limit * SLOW
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.argv} does not end; output {self.output!r}")
            self._more(0.05)
        while self._more(0) and select.select([self.fd], [], [], 0)[0]:
            pass
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def close(self):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self.status = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
