"""Ray Serve with HAProxy: while a new version of an application is built, HAProxy is told of none of its replicas.

Needs `ray[serve]` alone (written for 2.60.0 on Linux), free ports 8000 and 8265, and no other Ray on the machine:

    python servers_gone.py

It deploys an application, and then a new version of it, whose import takes ten seconds, as large packages do. The old
replica serves on all the while. Each change of the replicas that HAProxy's file names is printed, with what a caller
got who asked ten times a second.

Seen with Ray 2.60.0: {seen}
What was expected: the servers of before, until those of the new version are there.
"""

import collections
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

BUILDING = "SECONDS_OF_BUILDING"
time.sleep(float(os.environ.get(BUILDING, "0")))  # this file is what the cluster imports
os.environ |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "PYTHONPATH": str(Path(__file__).parent)}

import ray
from ray import serve
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

CONFIG = Path("/tmp/haproxy-serve/haproxy.cfg")


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Quick:
    """Answers at once."""

    async def __call__(self, _: object) -> str:
        """Answer."""
        return "hello"


application = Quick.bind()


def servers() -> tuple[int, int]:
    """How many replicas HAProxy's file names, and how many fallbacks."""
    lines = [line.split() for line in CONFIG.read_text().splitlines() if line.strip().startswith("server ")]
    return sum("backup" not in line for line in lines), sum("backup" in line for line in lines)


def watch(ended: threading.Event) -> None:
    """Ask ten times a second, and print each change of the file with what came of the requests before it."""
    began, last, got = time.monotonic(), servers(), collections.Counter[str]()
    while not ended.wait(0.1):
        started = time.monotonic()
        try:
            with urllib.request.urlopen("http://127.0.0.1:8000/", timeout=5.0) as response:
                got[str(response.status)] += 1
        except urllib.error.HTTPError as error:
            got[str(error.code)] += 1
        except OSError as error:
            got[str(error)] += 1
        if time.monotonic() - started > 1.0:
            got["later than a second"] += 1
        if (now := servers()) != last or ended.is_set():
            print(
                f"{time.monotonic() - began:5.1f} s  {last[0]} replicas, {last[1]} fallbacks: {dict(got)}", flush=True
            )
            last, got = now, collections.Counter()
    print(f"{time.monotonic() - began:5.1f} s  {last[0]} replicas, {last[1]} fallbacks: {dict(got)}", flush=True)


def main() -> None:
    """Deploy twice, and watch."""
    ray.init(num_cpus=4, include_dashboard=True)
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": 8000})
    client = ServeSubmissionClient("http://127.0.0.1:8265")
    one = {"name": "quick", "route_prefix": "/", "import_path": "servers_gone:application"}

    def running() -> bool:
        """Whether the application runs as it was deployed last."""
        told = serve.status().applications.get("quick")
        return told is not None and told.status == "RUNNING"

    client.deploy_applications({"applications": [one]})
    while not running():
        time.sleep(0.2)
    ended = threading.Event()
    time.sleep(5)
    watching = threading.Thread(target=watch, args=(ended,))
    watching.start()
    time.sleep(5)
    print("the new version is deployed", flush=True)
    client.deploy_applications({"applications": [one | {"runtime_env": {"env_vars": {BUILDING: "10"}}}]})
    time.sleep(2)
    while not running():
        time.sleep(0.2)
    time.sleep(5)
    ended.set()
    watching.join()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
