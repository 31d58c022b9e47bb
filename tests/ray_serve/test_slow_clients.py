"""Clients that trickle turn nobody else away: HAProxy waits for them, with the time-outs of our Serve configs.

