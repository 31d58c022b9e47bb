"""What outlives a request because its caller asks for that: responses, and the conversations they end.

May import: observability.

    keeper.py    keeps responses, finds and deletes them, where and for as long as the policy says
    store.py     a store as the keeper sees it
    sqlite.py    a file, for the routers of one node
    redis.py     Redis, for those of several
"""
