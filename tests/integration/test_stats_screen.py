"""`ctlc stats` on a terminal: a screen that lives, keys, and the way back."""
import time

from harness import equal, wait_for
from test_knobs_effect import loop_device


def open_screen(d, *args, **options):
    terminal = d.terminal("stats", *args, **{"rows": 24, "columns": 140, **options})
    terminal.expect(r"containers, by")
    return terminal


def leaves_the_terminal_as_it_was(terminal, key):
    assert terminal.is_raw()
    terminal.send(key)
    equal(terminal.wait(), 0)


def test_table_sorting_and_leaving(d):
    d.sleeper("--name", "idle-one")
    d.run_detached("--name", "busy-one", "--cpus", "0.2", "busybox", "sh", "-c", "while :; do :; done")
    screen = open_screen(d)
    screen.expect(r"busy-one")
    screen.expect(r"idle-one")
    # Of the busy one, once there are two samples; a percent sign that stands there is not drawn again.
    screen.expect(r"[1-4][0-9]\.[0-9](%|\x1b)")
    screen.send("N")
    screen.expect(r"name")
    screen.send("m")
    screen.expect(r"memory")
    d.sleeper("--name", "late-one")
    screen.expect(r"late-one")
    d.ok("rm", "-f", "late-one")
    screen.resize(30, 60)
    leaves_the_terminal_as_it_was(screen, "q")


def test_details_and_log(d):
    d.run_detached("--name", "talker", "busybox", "sh", "-c",
                   r"n=0; while :; do n=$((n+1)); printf '\033[2Jline-%d-end\n' $n; sleep 0.2; done")
    screen = open_screen(d, "talker")
    screen.expect("talker")
    screen.send("\r")
    screen.expect("Image +")
    screen.expect("running")
    screen.expect(r"\[2Jline-\d+-end")
    screen.unread = ""
    screen.expect(r"\d")   # it goes on
    screen.send("q")
    screen.expect(r"c m n i p N")
    leaves_the_terminal_as_it_was(screen, "\x03")


def shows(d, bars, *run):
    """One of these bars comes up in the row of such a container."""
    container = d.run_detached(*run)
    screen = open_screen(d, container, columns=220)
    screen.expect(f"[{bars}]")
    screen.send("q")
    equal(screen.wait(), 0)
    d.ok("rm", "-f", container)


def test_sparklines(d):
    """Each of the four draws: the others of such a container have nothing, or never as much."""
    shows(d, "▂▃▄▅", "--network", "none", "--cpus", "0.4", "busybox", "sh", "-c", "while :; do :; done")
    shows(d, "▅▆▇", "--network", "none", "-m", "16m", "busybox", "sh", "-c",
          "dd if=/dev/zero of=/dev/shm/x bs=1M count=12 2>/dev/null; sleep 1000")
    shows(d, "█", "busybox", "sh", "-c", "ping -q -i 0.2 -s 1000 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')")
    with loop_device() as device:
        shows(d, "█", "--network", "none", "--device", device, "--device-write-bps", f"{device}:1mb", "busybox", "sh", "-c",
              f"while :; do dd if=/dev/zero of={device} bs=128k count=32 oflag=direct 2>/dev/null || exit 1; done")


def test_one_by_name_only(d):
    d.sleeper("--name", "shown-one")
    d.sleeper("--name", "other-one")
    screen = open_screen(d, "shown-one")
    screen.expect("shown-one")
    time.sleep(1.5)
    screen.send("q")
    equal(screen.wait(), 0)
    assert "other-one" not in screen.output, screen.output


def test_without_colour_and_without_a_terminal_it_knows(d):
    d.sleeper("--name", "plain-one")
    screen = d.terminal("stats", "--no-stream")
    screen.expect("CONTAINER ID +NAME")
    equal(screen.wait(), 0)
    wait_for(lambda: "plain-one" in screen.output, "the row")
