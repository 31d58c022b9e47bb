"""What `deploy/` holds: the chart and what is rendered from it, the Dockerfile, the lock files, the release."""
