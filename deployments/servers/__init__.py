"""Inference servers that a replica runs as child processes, and speaks to as the routers do to remote models.

May import: policy, request, settings, observability, execution, upstream.

    model.py        a model behind such a server: a `formats.ServedModel`
    supervision.py  starts the server, watches it, and starts it again
    comeback.py     requests that wait meanwhile
    process.py      one process of a server, from its start to its end
    guard.py        stands between the two, so that no server outlives its replica
    commands.py     the command lines of the known servers
    environment.py  the variables that a server gets
    output.py       what it writes: kept in a file, and its last words
    watch.py        how long it has been silent
    probing.py      ports, health checks and probes

A server is made by whoever wrote it, and its Python is not ours: nothing of this project is imported there.
"""
