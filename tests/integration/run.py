#!/usr/bin/python3
"""Runs the integration tests: one process and one daemon per file, some files at a time.

    run.py [--build DIR] [--jobs N] [-k WORD] [FILE...]

One line per test, then what failed, then 'N passed, N failed, N skipped'.  As root."""
import argparse
import ctypes
import importlib.util
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# Tests that may be skipped, and why.  Any other skip is a failure.
ALLOWED_SKIPS = {
    "test_cgroup.v2_limits": "this machine has its controllers on cgroup v1",
    "test_cgroup.v1_limits": "this machine has its controllers on cgroup v2",
    "test_knobs_net.class_without_net_cls": "this machine has net_cls mounted",
    "test_knobs_net.class_and_priority": "net_cls and net_prio are controllers of cgroup v1 alone",
    "test_knobs_effect.huge_pages": "no hierarchy with the hugetlb controller",
    "test_knobs_io.huge_pages": "a kernel or machine without huge pages to spare",
    "test_knobs_io.weights": "a kernel without BFQ, the scheduler that knows weights",
    "test_knobs_io.realtime": "a kernel without group scheduling of realtime tasks",
    **{f"test_procview.{name}": "lxcfs is optional" for name in (
        "limits_are_seen", "each_file_is_the_containers", "starts_that_hang_leave_room_for_others",
        "one_for_all_over_a_kill_of_the_daemon", "a_dead_one_is_replaced", "in_a_user_namespace", "the_daemons_default")},
}
LIMIT = 180  # seconds for one test


# One file, in a process of its own

class Late(Exception):
    pass


def alarm(*_):
    raise Late()


def load(path):
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return name, module


def tests_of(module, word):
    found = [(name[5:], function) for name, function in vars(module).items()
             if name.startswith("test_") and inspect.isfunction(function)
             and function.__module__ == module.__name__]
    return [(name, f) for name, f in found if word in f"{module.__name__}.{name}"]


class File:
    """The tests of one file and the daemon they share."""

    def __init__(self, path, word):
        import harness
        self.harness = harness
        self.name, self.module = load(path)
        self.tests = tests_of(self.module, word)
        self.daemon, self.baseline, self.compared = None, None, True

    def report(self, name, outcome, seconds, detail=""):
        print(json.dumps({"test": f"{self.name}.{name}", "outcome": outcome, "seconds": seconds,
                          "detail": detail}), file=sys.__stdout__, flush=True)

    def shared(self):
        if self.daemon is not None and self.daemon.pid is None:
            self.daemon.close()
            self.daemon = None
            raise AssertionError("the daemon was dead before this test")
        if self.daemon is None:
            args = getattr(self.module, "DAEMON_ARGS", ())
            self.daemon = self.harness.Daemon(*args)
            # What a daemon keeps after its first container belongs to the baseline.
            container = self.daemon.sleeper()
            self.daemon.learn_from(container)
            self.daemon.ok("exec", container, "true")
            self.follow_a_log(container)
            self.daemon.clean()
            # On a busy machine they take longer than any number of equal counts would tell.
            self.harness.wait_for(self.daemon.at_rest, "the first containers to be gone")
            self.baseline = self.daemon.settled_census()
        return self.daemon

    def follow_a_log(self, container):
        """Until it is watched: what that takes is kept."""
        import host
        follower = self.daemon.spawn_client("logs", "-f", container)
        if not self.harness.STOCK:
            self.harness.wait_for(lambda: any("inotify" in link for link in host.links(self.daemon.pid)), "the log to be watched")
        self.daemon.ok("rm", "-f", container)
        follower.communicate(timeout=60 * self.harness.SLOW)

    def one(self, name, function):
        started = time.monotonic()
        outcome, detail = self.attempt(function)
        self.report(name, outcome, time.monotonic() - started, detail)

    def attempt(self, function):
        text = io.StringIO()
        outcome, detail = "ok", ""
        signal.signal(signal.SIGALRM, alarm)
        signal.alarm(int(LIMIT * self.harness.SLOW))
        try:
            with redirect_stdout(text), redirect_stderr(text):
                arguments = [self.shared()] if inspect.signature(function).parameters else []
                function(*arguments)
                if arguments:
                    self.clean()
        except self.harness.Skip as skip:
            outcome, detail = "skip", str(skip)
        except Late:
            outcome, detail = "FAIL", "time limit\n" + traceback.format_exc() + self.log()
        except BaseException:  # every test is on its own, whatever another one raises
            outcome, detail = "FAIL", traceback.format_exc() + self.log()
        finally:
            signal.alarm(0)
        if outcome == "FAIL":
            self.recover()
            detail += text.getvalue()
        return outcome, detail

    def clean(self):
        self.daemon.clean()
        for image in self.daemon.request("GET", "/images/json?all=1").json:
            if "busybox:latest" not in (image["RepoTags"] or []):
                self.daemon.request("DELETE", f"/images/{image['Id']}?force=1")

    def log(self):
        if self.daemon is None:
            return ""
        import host
        return "\n--- end of the daemon's log\n" + host.read(self.daemon.log)[-3000:]

    def recover(self):
        """After a failure the next test gets a clean daemon, a new one if need be."""
        for other in list(self.harness.daemons):
            if other is not self.daemon:
                self.quietly(other.close)
        if self.daemon is not None and not self.quietly(self.clean):
            self.quietly(self.daemon.close)
            self.daemon, self.compared = None, False

    @staticmethod
    def quietly(function):
        signal.alarm(60)
        try:
            function()
            return True
        except BaseException:  # the failure that led here is the one to tell
            return False
        finally:
            signal.alarm(0)

    def left_nothing_behind(self):
        """All counts are back where they were after the first container."""
        self.daemon.assert_counts(self.baseline)

    def run(self):
        for name, function in self.tests:
            self.one(name, function)
        if self.daemon is not None:
            if not self.harness.STOCK:
                self.one("left_nothing_behind", self.left_nothing_behind)
            self.one("daemon_ends_well", self.daemon.close)
        for other in list(self.harness.daemons):
            self.quietly(other.close)
        if not self.harness.STOCK:
            import openapi
            contract = openapi.Contract()
            self.one("keeps_the_contract", lambda: contract.check(self.harness.recorded))
            print(json.dumps({"operations": sorted(contract.seen)}), file=sys.__stdout__)


# All files

AGAIN_MAX = 6  # files that may fail for the machine's sake
CRASH = re.compile(r"Sanitizer|runtime error|daemon was dead|ConnectionResetError|IncompleteRead|worker ended")


def reason(detail):
    """Of a traceback the line that says what is wrong; all of it comes at the end of the run, which may be far."""
    lines = detail.partition("\n---")[0].strip().splitlines()
    return lines[-1][:300] if lines else ""


class Run:
    def __init__(self, options, files):
        self.options, self.files = options, list(files)
        self.lock = threading.Lock()
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.failures, self.unsteady, self.operations = [], [], set()

    def take(self, line):
        entry = json.loads(line)
        with self.lock:
            if "operations" in entry:
                self.operations |= set(entry["operations"])
                return
            name, outcome = entry["test"], entry["outcome"]
            if outcome == "skip" and name not in ALLOWED_SKIPS:
                outcome, entry["detail"] = "FAIL", f"skip that is not allowed: {entry['detail']}"
            self.counts[outcome] += 1
            if outcome == "FAIL":
                self.failures.append((name, entry["detail"]))
            note = "" if outcome == "ok" else f" ({reason(entry['detail'])})"
            print(f"{outcome:4} {name} ({entry['seconds']:.1f} s){note}", flush=True)

    def one_file(self, path):
        worker = subprocess.Popen(
            [sys.executable, __file__, "--worker", path, "-k", self.options.k],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in worker.stdout:
            self.take(line)
        if worker.wait() != 0:
            self.take(json.dumps({"test": os.path.basename(path)[:-3], "outcome": "FAIL",
                                  "seconds": 0, "detail": f"worker ended: {worker.returncode}"}))

    def work(self):
        while True:
            with self.lock:
                if not self.files:
                    return
                path = self.files.pop(0)
            self.one_file(path)

    def all(self):
        threads = [threading.Thread(target=self.work) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def once_more(self):
        """What failed beside others is tried again alone, the whole file of it: a machine that is busy fails
        tests that measure.  Both tries are told.  A daemon that crashed is not forgiven."""
        files = sorted({name.partition(".")[0] for name, _ in self.failures})
        if len(files) > AGAIN_MAX or any(CRASH.search(detail) for _, detail in self.failures):
            return
        self.unsteady, self.failures = self.failures, []
        self.counts["FAIL"] -= len(self.unsteady)
        for name in files:
            print(f"once more: {name}", flush=True)
            self.one_file(os.path.join(HERE, f"{name}.py"))

    def every_operation(self):
        import openapi
        missed = openapi.Contract().operations() - self.operations
        self.take(json.dumps({
            "test": "openapi.every_operation_exercised", "seconds": 0,
            "outcome": "FAIL" if missed else "ok", "detail": f"never called: {sorted(missed)}"}))

    def summary(self):
        for name, detail in self.unsteady:
            print(f"\n--- at first: {name}\n{detail.rstrip()}")
        for name, detail in self.failures:
            print(f"\n--- {name}\n{detail.rstrip()}")
        # Whoever sees the end of a log only sees what failed, and why.
        print()
        for when, failures in (("at first", self.unsteady), ("FAIL", self.failures)):
            for name, detail in failures:
                print(f"{when} {name}: {reason(detail)}")
        print(f"{self.counts['ok']} passed, {self.counts['FAIL']} failed,"
              f" {self.counts['skip']} skipped", flush=True)
        return 1 if self.counts["FAIL"] or not self.counts["ok"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", help="build directory (default build/release)")
    parser.add_argument("--jobs", type=int, default=max(2, min(6, os.cpu_count() or 2)))
    parser.add_argument("-k", default="", help="only tests whose name holds this word")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    if options.build:
        os.environ["CTL_BUILD"] = os.path.abspath(options.build)
    if options.worker:
        # A worker does not outlive its runner.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        File(options.worker, options.k).run()
        return 0
    if os.geteuid() != 0:
        sys.exit("these tests need root")
    import host
    host.sweep()
    option = host.Favordynmods()
    everything = not options.files and not options.k
    names = options.files or [n for n in os.listdir(HERE) if n.startswith("test_")]
    # The longest first: they end together then.
    files = sorted((os.path.join(HERE, os.path.basename(n)) for n in names),
                   key=os.path.getsize, reverse=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell starts what it puts in the background with this ignored, and programs under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run = Run(options, files)
    try:
        run.all()
        run.once_more()
    finally:
        option.restore()
        host.sweep()
    if everything and os.environ.get("CTL_ENGINE") != "dockerd":
        run.every_operation()
    return run.summary()


if __name__ == "__main__":
    sys.exit(main())
