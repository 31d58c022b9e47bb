"""Who may ask, what, and how much of it: keys, their rights, and their limits.

May import: policy, request, settings.

    gate.py         what a router asks: who is it, may it, is there any left
    credential.py   a key as it is sent, and its hash
    keyring.py      the keys of a file, in force until a better file is there
    holder.py       whose key a request has come with
    rights.py       which models may answer it, in every tier
    counts.py       what the keys have used, in all routers, and how much one router may use alone
    claims.py       what routers want beyond that, in one order
    limits.py       a request is let in, or refused
    grant.py        a request that was let in: settled when it has ended
    clock.py        the time that counts are kept by
    overview.py     what the status tells of the keys
    measure.py      what is counted, and in which windows of time
    problems.py     401, 403 and 429
"""
