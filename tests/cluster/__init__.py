"""Several hosts on one machine: what the service does when one of them dies, goes silent, is cut off or comes back.

A host is a network namespace on a bridge, with namespaces of processes, mounts and IPC: its processes, files and cache
are nobody else's. What the hosts share is what an image would hold: the checkout, read-only, and its environment. Each
runs a Ray node, with Ray's token on, and answers HTTP through its own HAProxy. Needs Linux, root and iproute2.

    hosts.py       the bridge, the hosts, and what can be done to them
    cluster.py     Ray and the service on the hosts
    balancer.py    a load balancer with the health check that docs/api.md names
    load.py        an open loop of requests from outside, whole and streamed
    verdict.py     what each request was owed, and what it got
    chaos.py       random faults from a seed, for an hour (`make chaos`)
"""
