"""Carries out what `policy` decides for one request: attempts, the race between them, the relay of a stream."""
