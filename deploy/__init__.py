"""How the service is packed and brought to others: `python -m deploy.<tool>`, from the root of the repository.

lock      writes deploy/requirements/: every package by exact version and hash
image     runs the Dockerfile's steps in a bare root file system, as no container engine is at hand
release   checks, builds and describes what is given out
"""
