"""Ray Serve with HAProxy: a request whose replica has gone silent is waited for without end.

Needs `ray[serve]` alone (written for 2.60.0 on Linux), a free port 8000, and no other Ray on the machine:

    python silent_replica.py

It starts an application of two replicas, and stops the process of one of them (SIGSTOP), as a host does whose plug is
pulled: nothing is refused or reset, nothing comes any more. Callers ask ten times a second, with sixty seconds of
patience.

Seen with Ray 2.60.0: of 300 requests the one that the silent replica had been given waited for all of the caller's
sixty seconds, though the other replica answered everybody else in milliseconds. HAProxy asks the replica with the
fewest requests under way, so there is one such request for each that comes while the others are busy. Serve sets no
`timeout server`, and has no setting for `tcp-ut`, keep-alive probes or `on-marked-down shutdown-sessions` of its
servers. What was expected: a setting by which such requests are given to the other replica, or are ended, seconds
after the first one went silent.
"""

import os
import signal
import threading
import time
import urllib.request

os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = "1"

import ray
from ray import serve

PATIENCE_S, STOPPED_AT = 60.0, 20


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.1})
class Quick:
    """Answers at once with the number of its process."""

    async def __call__(self, _: object) -> str:
        """Answer."""
        return str(os.getpid())


def ask(waits: list[tuple[float, float]], began: float) -> None:
    """Ask once, and note when and how long it took."""
    started = time.monotonic()
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=PATIENCE_S) as response:
            response.read()
    except OSError as error:
        print(f"sent at {started - began:5.1f} s: {error}, after {time.monotonic() - started:.1f} s", flush=True)
    waits.append((started - began, time.monotonic() - started))


def main() -> None:
    """Start, stop one of the two, and watch."""
    ray.init(num_cpus=4)
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": 8000})
    serve.run(Quick.bind())
    with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=PATIENCE_S) as response:
        process = int(response.read())
    waits: list[tuple[float, float]] = []
    asking: list[threading.Thread] = []
    began = time.monotonic()
    for number in range(300):
        if number == STOPPED_AT:
            os.kill(process, signal.SIGSTOP)
            print(f"process {process} is stopped at {time.monotonic() - began:.1f} s", flush=True)
        asking.append(threading.Thread(target=ask, args=(waits, began)))
        asking[-1].start()
        time.sleep(0.1)
    for thread in asking:
        thread.join()
    slow = sorted(wait for wait in waits if wait[1] > 1.0)
    print(f"{len(waits)} requests, {len(slow)} took longer than a second")
    for sent, took in slow:
        print(f"  sent at {sent:5.1f} s: {took:.1f} s")
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
