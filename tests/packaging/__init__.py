"""The built wheel, in an environment that has never seen this repository."""
