"""Hosts as namespaces on a bridge, and what can be done to them: kill, unplug, cut, slow down, stop, fill a disk.

    bridge nbr0, 10.99.0.254: this machine, where clients are
      nbr0p1 - e0 10.99.0.1: host 1
      nbr0p2 - e0 10.99.0.2: host 2

A host ends with the process that made it, whatever ends that: its first process is told by the kernel.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
BRIDGE, NET = "nbr0", "10.99.0"
MOST_HOSTS = 9
NOWHERE = "02:00:00:00:00:01"
"""A hardware address that no host has: what is sent to it is lost without a word."""

IMAGE, OWN = "/mnt/image", "/mnt/own"
DISK_MB, SHARED_MEMORY_MB = 768, 384

# The paths below /tmp are in the namespace: where Ray and HAProxy keep what is not told to go elsewhere.
_FIRST = f"""
mount -t tmpfs -o size={DISK_MB}m,mode=755 tmpfs /mnt
mkdir -p {IMAGE} {OWN}/home {OWN}/tmp {OWN}/cache /tmp/ray /tmp/haproxy-serve
mount --bind "$0" {IMAGE} && mount -o remount,bind,ro {IMAGE}
mount -t tmpfs -o size={SHARED_MEMORY_MB}m tmpfs /dev/shm
for own in /tmp/ray /tmp/haproxy-serve; do mount -t tmpfs -o size=64m tmpfs $own; done
ip link set lo up
touch {OWN}/made
# As a shell with a child of its own it reaps what daemons leave behind.
sleep infinity & while :; do wait; done
"""  # noqa: S108


def lacking() -> str:
    """Why no hosts can be made here; empty where they can."""
    if sys.platform != "linux":
        return "hosts are namespaces of Linux"
    if os.geteuid() != 0:
        return "hosts need root"
    tools = [tool for tool in ("ip", "tc", "unshare", "nsenter", "setpriv") if shutil.which(tool) is None]
    return f"hosts need {', '.join(tools)} (iproute2, util-linux)" if tools else ""


def run(*command: str) -> str:
    """Run a command of the system and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


# What systemd does for a service with `Restart=always`: a second after it has ended it is started again, and what
# it has left behind is killed before that. SIGTERM to both ends both.
_SUPERVISED = """
exec >/dev/null 2>&1
trap "exit 0" TERM
while :; do
  "$@" &
  wait $!
  for process in /proc/[0-9]*; do
    id=${process#/proc/}
    [ $id = 1 ] || [ $id = $$ ] || [ "$(cat $process/comm)" = sleep ] || kill -9 $id
  done
  sleep 1
done
"""


@dataclass(slots=True)
class Outage:
    """A time in which a host could not be reached from outside; `until` is the monotonic clock, too."""

    host: str
    since: float
    until: float = float("inf")


@dataclass(slots=True)
class Host:
    """One host.

    Attributes:
        number: the last part of its address.
        bridge: what it is plugged into.
        net: the first parts of its address.
        outages: when it was down, or its link.
    """

    number: int
    bridge: str = BRIDGE
    net: str = NET
    outages: list[Outage] = field(default_factory=list)
    _first: int = 0
    _maker: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Its address."""
        return f"{self.net}.{self.number}"

    @property
    def _port(self) -> str:
        return f"{self.bridge}p{self.number}"

    def make(self) -> None:
        """Make the namespaces, and plug the host in."""
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--uts", "--ipc"]
        command += ["--fork", "--kill-child", "--mount-proc", "bash", "-c", _FIRST, str(ROOT)]
        self._maker = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        end = time.monotonic() + 20
        while not self._first:
            children = psutil.Process(self._maker.pid).children()
            if children and Path(f"/proc/{children[0].pid}/root{OWN}/made").exists():
                self._first = children[0].pid
            assert time.monotonic() < end, "the namespaces of a host were not made"
            time.sleep(0.02)
        run("ip", "link", "add", self._port, "type", "veth", "peer", "name", "e0", "netns", str(self._first))
        run("ip", "link", "set", self._port, "master", self.bridge, "up")
        self._within("ip", "addr", "add", f"{self.address}/24", "dev", "e0")
        self._within("ip", "link", "set", "e0", "up")
        self._within("ip", "route", "add", "default", "via", f"{self.net}.254")

    def remove(self) -> None:
        """End everything on it, and take it away."""
        if self._maker is not None:
            self._maker.kill()
            self._maker.wait(20)
        with contextlib.suppress(RuntimeError):  # it went with the namespace
            run("ip", "link", "del", self._port)

    def command(self, *words: str, env: Mapping[str, str]) -> list[str]:
        """The command that runs `words` on the host, from the root of the image, with this environment and no other."""
        inside = [
            "nsenter",
            "--target",
            str(self._first),
            "--mount",
            "--net",
            "--pid",
            "--uts",
            "--ipc",
            f"--wdns={IMAGE}",
        ]
        return [*inside, "env", "-i", *(f"{name}={value}" for name, value in env.items()), *words]

    def start(self, *words: str, env: Mapping[str, str]) -> str:
        """Run a command on the host to its end, and return what it printed.

        Raises:
            RuntimeError: it failed.
        """
        command = self.command(*words, env=env)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"host {self.number}: {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def supervise(self, *words: str, env: Mapping[str, str]) -> None:
        """Have a command run on the host, and start it again whenever it has ended, until it is told to."""
        self.start("setsid", "--fork", "sh", "-c", _SUPERVISED, "sh", *words, env=env)

    def processes(self, part: str = "") -> list[psutil.Process]:
        """What runs on it, as this machine sees it: those whose command line holds `part`."""
        found = []
        for process in psutil.Process(self._first).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def file(self, path: str) -> Path:
        """A file of the host's, by its path there."""
        return Path(f"/proc/{self._first}/root{path}")

    def prefer(self, *parts: str) -> None:
        """Have what runs now, and holds one of `parts` in its command line, go before what is started later."""
        for process in (each for part in parts for each in self.processes(part)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.nice(-10)

    # What can be done to it.

    def kill(self) -> None:
        """Kill every process at once; its kernel lives on, and refuses whoever calls."""
        self._down()
        for process in (everything := self.processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "sleep":
                    process.send_signal(signal.SIGKILL)
        psutil.wait_procs(everything, timeout=0.5)

    def revived(self) -> None:
        """Take note that what was killed runs again."""
        self._up()

    def unplug(self) -> None:
        """Pull its plug: nobody is told, nothing is refused."""
        self._down()
        run("ip", "link", "set", self._port, "down")

    def plug(self) -> None:
        """Put the plug in again."""
        run("ip", "link", "set", self._port, "up")
        self._up()

    def cut_to(self, *others: "Host") -> None:
        """Lose whatever it sends to `others` from now on; what they send still comes."""
        for other in others:
            self._within("ip", "neigh", "replace", other.address, "lladdr", NOWHERE, "dev", "e0", "nud", "permanent")

    def mend_to(self, *others: "Host") -> None:
        """Undo `cut_to`."""
        for other in others:
            self._within("ip", "neigh", "del", other.address, "dev", "e0")

    def slow(self, kbit: int) -> None:
        """Let no more than `kbit` kilobits a second through, both ways; what waits longer than a second is lost."""
        shape = ("root", "tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", "1s")
        run("tc", "qdisc", "replace", "dev", self._port, *shape)
        self._within("tc", "qdisc", "replace", "dev", "e0", *shape)

    def speed_up(self) -> None:
        """Undo `slow`."""
        run("tc", "qdisc", "del", "dev", self._port, "root")
        self._within("tc", "qdisc", "del", "dev", "e0", "root")

    def stop(self, part: str) -> list[psutil.Process]:
        """Stop (SIGSTOP) the processes whose command line holds `part`: their connections stay, and they do nothing."""
        stopped = self.processes(part)
        for process in stopped:
            process.suspend()
        return stopped

    def fill_disk(self) -> None:
        """Write until nothing more can be written where the host keeps its session, its cache and its logs."""
        with contextlib.suppress(OSError), self.file(f"{OWN}/filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * (1 << 20))

    def empty_disk(self) -> None:
        """Undo `fill_disk`."""
        self.file(f"{OWN}/filler").unlink(missing_ok=True)

    def _within(self, *command: str) -> None:
        run("nsenter", "--target", str(self._first), "--net", *command)

    def _down(self) -> None:
        if not self.outages or self.outages[-1].until < float("inf"):
            self.outages.append(Outage(self.address, time.monotonic()))

    def _up(self) -> None:
        if self.outages:
            self.outages[-1].until = time.monotonic()


def cut_pair(one: Host, other: Host) -> None:
    """Lose what two hosts send each other; both reach everybody else."""
    one.cut_to(other)
    other.cut_to(one)


def mend_pair(one: Host, other: Host) -> None:
    """Undo `cut_pair`."""
    one.mend_to(other)
    other.mend_to(one)


@contextlib.contextmanager
def hosts(count: int, bridge: str = BRIDGE, net: str = NET) -> Iterator[Sequence[Host]]:
    """Hosts 1 to `count`, plugged into `bridge`; taken away at the end, and so is what an earlier run has left."""
    for left in (*(f"{bridge}p{number}" for number in range(1, MOST_HOSTS + 1)), bridge):
        with contextlib.suppress(RuntimeError):
            run("ip", "link", "del", left)
    run("ip", "link", "add", bridge, "type", "bridge")
    made: list[Host] = []
    try:
        run("ip", "addr", "add", f"{net}.254/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        for number in range(1, count + 1):
            made.append(Host(number, bridge, net))
            made[-1].make()
        yield made
    finally:
        for host in made:
            host.remove()
        run("ip", "link", "del", bridge)
