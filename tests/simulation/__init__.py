"""Whole routers under virtual time: seeded worlds in which everything goes wrong, from HTTP bytes to scripted models.

    world.py        one seed: what there is, what is asked, what happens; and its run
    happenings.py   what happens beside the requests: to models, to Serve, to the policy, to the loop
    script.py       what a model does when it is asked, by how it is at that time
    replicas.py     scripted replicas and a scripted Serve, in the place of Ray
    network.py      scripted upstreams, byte by byte, in the place of the sockets under `deployments.upstream`
    asking.py       the requests: every format, whole and streamed, well-formed and not
    client.py       sends the bytes of one request to the application, and notes the bytes that come back
    reading.py      reads those bytes as the client of the format does; `reading_messages` and `reading_responses`, too
    told.py         what a response says, whatever its format
    record.py       what the scripted side saw
    loop.py         the event loop, whose time passes only by being waited for
    invariants.py   what has to be true after every run
    sometimes.py    the rare states of which every one has to be reached
    many.py         many seeds, on all cores

`python -m tests.simulation --seed N` runs one seed and tells what happened in it; the same seed is the same run.
"""
