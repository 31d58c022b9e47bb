"""The cluster that runs the service, through its dashboard: for the commands that change it."""

from collections.abc import Mapping
from typing import Any

Details = Mapping[str, Any]
"""What Serve tells of itself, as its REST interface gives it."""


class ClusterError(Exception):
    """The cluster cannot be reached, or refuses what it is given."""


class Cluster:
    """Serve on a running cluster."""

    def __init__(self, address: str) -> None:
        """Connect to the dashboard at `address`.

        Raises:
            ClusterError: nobody answers there.
        """
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self._address = address
        try:
            self._client = ServeSubmissionClient(address)
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"no cluster answers at {address}: {error}") from error

    def details(self) -> Details:
        """How Serve is. Raises `ClusterError` where it does not say."""
        try:
            found: Details = self._client.get_serve_details()
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"the cluster at {self._address} does not answer: {error}") from error
        return found

    def submit(self, config: Mapping[str, Any]) -> None:
        """Have Serve become what `config` says. Raises `ClusterError` where it refuses."""
        try:
            self._client.deploy_applications(dict(config))
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"the cluster refuses the config: {error}") from error
