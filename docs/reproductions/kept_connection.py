"""Ray Serve with HAProxy: what a caller gets that keeps its connection over a rolling update.

Needs `ray[serve]` alone (written for 2.60.0 on Linux), a free port 8000, and no other Ray on the machine:

    python kept_connection.py

It starts Serve with HAProxy and an application of two replicas, asks once over each of three connections, and keeps
these open, as every HTTP client with a pool does. Then the application is updated, with a surge, so that there are
replicas all the time. When the old ones have ended, it asks again: over the kept connections, and over a new one.

What is to be seen: 500 over each kept connection, and an answer over the new one. The update has HAProxy replaced, and
the old process keeps its idle connections until they have been asked once more (`option idle-close-on-response`). It
gives that request to the replicas that it knew, which are gone. What was expected: an answer, or a connection that was
closed before. A way is to have a process that is stopping (`stopping`, a sample of HAProxy) hand its requests to the
port, which its successor has.
"""

import http.client
import os
import time

os.environ |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2"}

import ray
from ray import serve


@serve.deployment(num_replicas=2, max_surge_percent=100, health_check_period_s=1, ray_actor_options={"num_cpus": 0.1})
class Version:
    """Answers with its version."""

    def __init__(self, version: str) -> None:
        self.version = version

    async def __call__(self, _: object) -> str:
        """Answer."""
        return self.version


def ask(connection: http.client.HTTPConnection) -> str:
    """Ask over a connection, and return what came of it."""
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
    except (http.client.HTTPException, OSError) as error:
        return f"no answer: {error!r}"
    return f"{response.status} {response.read()[:60]!r}"


def main() -> None:
    """Ask, update, and ask again."""
    ray.init(num_cpus=4)
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": 8000})
    serve.run(Version.bind("first"))
    kept = [http.client.HTTPConnection("127.0.0.1", 8000, timeout=20) for _ in range(3)]
    print("before:", [ask(one) for one in kept], flush=True)
    serve.run(Version.bind("second"))
    time.sleep(20)
    print("new connection:", ask(http.client.HTTPConnection("127.0.0.1", 8000, timeout=20)), flush=True)
    print("kept connections:", [ask(one) for one in kept], flush=True)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
