"""Ray Serve with HAProxy: what callers get while no replica can take their requests.

Needs `ray[serve]` alone (written for 2.60.0 on Linux), a free port 8000, and no other Ray on the machine:

    python no_router_known.py

It starts Serve with HAProxy, and an application whose only replica takes ten seconds to start; then it kills the
replica. All the while a caller asks once a second, with five seconds of patience, and each change of what it gets is
printed.

Seen with Ray 2.60.0: `404 Path '/' not found` as text for the first ten seconds, as if the caller had made a mistake;
then, and again once the replica was killed, requests that the fallback proxy holds until the caller's five seconds are
over. What was expected: 503, with `retry-after`, at once; or a setting for the status, the body, and whether there
is a fallback. A load balancer takes a 404 for an answer: it neither asks another node nor takes this one out of use.
"""

import os
import threading
import time
import urllib.error
import urllib.request

os.environ |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1"}

import ray
from ray import serve

PATIENCE_S = 5.0


@serve.deployment(health_check_period_s=1)
class Slow:
    """Takes ten seconds to start."""

    def __init__(self) -> None:
        time.sleep(10)

    async def __call__(self, _: object) -> str:
        """Answer."""
        return "hello"


def ask() -> str:
    """Ask once, and return what came of it."""
    started = time.monotonic()
    try:
        with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=PATIENCE_S) as response:
            told = f"{response.status} {response.read()[:60]!r}"
    except urllib.error.HTTPError as error:
        told = f"{error.code} {error.read()[:60]!r}"
    except OSError as error:
        told = f"no answer: {error}"
    seconds = time.monotonic() - started
    return f"{told}{'' if seconds < 1 else f', after {seconds:.0f} s'}"


def watch(ended: threading.Event) -> None:
    """Ask once a second, and print each change."""
    began, last = time.monotonic(), ""
    while not ended.wait(1.0):
        told = ask()
        if told != last:
            print(f"{time.monotonic() - began:5.1f} s  {told}", flush=True)
        last = told


def main() -> None:
    """Start, kill, and watch."""
    ray.init(num_cpus=4)
    ended = threading.Event()
    watching = threading.Thread(target=watch, args=(ended,))
    watching.start()
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": 8000})
    print("Serve is started; no application yet", flush=True)
    time.sleep(5)
    print("the application is deployed", flush=True)
    serve.run(Slow.bind())
    time.sleep(3)
    print("its only replica is killed", flush=True)
    name = next(actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True) if "Slow" in actor["name"])
    ray.kill(ray.get_actor(name, namespace="serve"))
    time.sleep(20)
    ended.set()
    watching.join()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
