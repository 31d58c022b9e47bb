"""What can be done to a host of the rig, each seen from another host and from outside: no Ray is needed for that."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cluster.hosts import OWN, Host, cut_pair, hosts, lacking, mend_pair
from tests.service.service import eventually

ENVIRONMENT = {"PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin"}
PORT = 8123
SERVE = ("python", "-m", "http.server", str(PORT), "--directory", OWN)
ASK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()"

HEAR = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9)); s.recv(9)"
SEND = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', (sys.argv[1], 9))"


@pytest.fixture(scope="module")
def pair() -> Iterator[Sequence[Host]]:
    if reason := lacking():
        pytest.skip(reason)
    with hosts(2, bridge="nbr6", net="10.94.0") as made:
        for host in made:
            host.supervise(*SERVE, env=ENVIRONMENT)
        yield made


@pytest.fixture
def two(pair: Sequence[Host]) -> Sequence[Host]:
    """Two hosts that serve their files, and see each other."""
    eventually(lambda: all(is_up(host) for host in pair), 20)
    assert sees(*pair)
    assert sees(*reversed(pair))
    return pair


def is_up(host: Host) -> bool:
    try:
        return httpx.get(f"http://{host.address}:{PORT}/", timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


def sees(one: Host, other: Host) -> bool:
    try:
        one.start("python", "-c", ASK, other.address, str(PORT), env=ENVIRONMENT)
    except RuntimeError:
        return False
    return True


def test_a_host_that_is_unplugged_answers_nobody_and_refuses_nobody_until_it_is_plugged_in(two: Sequence[Host]) -> None:
    one, other = two

    one.unplug()

    with pytest.raises(httpx.TimeoutException):
        httpx.get(f"http://{one.address}:{PORT}/", timeout=1.0)
    assert not sees(other, one)
    one.plug()
    eventually(lambda: is_up(one) and sees(other, one), 10)
    assert [outage.host for outage in one.outages] == [one.address]


def test_a_host_that_is_killed_refuses_whoever_calls(two: Sequence[Host]) -> None:
    one, _ = two

    one.kill()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((one.address, PORT), 2)
    one.supervise(*SERVE, env=ENVIRONMENT)
    one.revived()
    eventually(lambda: is_up(one), 20)


def test_what_is_supervised_is_started_again_when_it_has_ended_and_not_when_it_was_told_to_end(
    two: Sequence[Host],
) -> None:
    one, _ = two
    (first,) = (process for process in one.processes("http.server") if "python" in process.name())

    first.kill()
    eventually(lambda: is_up(one), 20)
    running = one.processes("http.server")
    assert first not in running
    for process in running:
        process.terminate()
    psutil.wait_procs(running, timeout=10)

    assert not one.processes("http.server")
    one.supervise(*SERVE, env=ENVIRONMENT)


def test_two_hosts_that_are_cut_off_from_each_other_are_seen_by_all_others(two: Sequence[Host]) -> None:
    cut_pair(*two)

    assert not sees(*two)
    assert all(is_up(host) for host in two)
    mend_pair(*two)
    eventually(lambda: sees(*two), 10)


def test_what_is_cut_one_way_still_hears_the_other(two: Sequence[Host]) -> None:
    one, other = two
    listening = subprocess.Popen(one.command("python", "-c", HEAR, env=ENVIRONMENT))  # noqa: S603 - our own

    one.cut_to(other)

    assert not sees(other, one)

    def is_heard() -> bool:
        other.start("python", "-c", SEND, one.address, env=ENVIRONMENT)
        return listening.poll() == 0

    eventually(is_heard, 10, every_s=0.2)
    one.mend_to(other)
    eventually(lambda: sees(other, one), 10)


def test_a_link_that_was_slowed_down_carries_as_much_as_it_is_let_until_it_is_sped_up(two: Sequence[Host]) -> None:
    one, _ = two
    one.file(f"{OWN}/large").write_bytes(b"\0" * 200_000)
    address = f"http://{one.address}:{PORT}/large"
    fast = httpx.get(address, timeout=30.0).elapsed

    one.slow(256)

    assert httpx.get(address, timeout=60.0).elapsed > 3 * fast
    one.speed_up()
    assert len(httpx.get(address, timeout=5.0).content) == 200_000


def test_what_is_stopped_keeps_its_connections_and_says_nothing(two: Sequence[Host]) -> None:
    one, other = two

    stopped = one.stop("http.server")

    assert stopped
    assert sees(other, one), "the kernel takes the connection"
    assert not is_up(one)
    for process in stopped:
        process.resume()
    eventually(lambda: is_up(one), 10)


def test_nothing_can_be_written_on_a_host_whose_disk_is_full(two: Sequence[Host]) -> None:
    one, other = two

    one.fill_disk()

    with pytest.raises(OSError, match="No space left"):
        one.file(f"{OWN}/more").write_bytes(b"\0" * (1 << 20))
    other.file(f"{OWN}/more").write_bytes(b"\0" * (1 << 20))
    one.empty_disk()
    one.file(f"{OWN}/more").write_bytes(b"\0" * (1 << 20))
