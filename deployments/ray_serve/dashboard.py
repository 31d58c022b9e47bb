"""Serve on a running cluster, reached through the cluster's dashboard: what `neverblank deploy` reads and changes."""

from collections.abc import Mapping
from typing import Any

Details = Mapping[str, Any]
"""The description of a Serve instance in its REST interface: `ray.serve.schema.ServeInstanceDetails` as JSON."""


class ClusterError(Exception):
    """The cluster cannot be reached, or refuses what it is given."""


class DashboardClient:
    """A connection to the dashboard of one cluster."""

    def __init__(self, address: str) -> None:
        """Connect to the dashboard at `address`, an HTTP URL.

        Raises:
            ClusterError: nobody answers there, or it is no such URL.
        """
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        self._address = address
        try:
            self._client = ServeSubmissionClient(address)
        except ValueError as error:
            raise ClusterError(f"{address!r} is no address of a dashboard, such as http://127.0.0.1:8265") from error
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"no cluster answers at {address}: {error}") from error

    def details(self) -> Details:
        """Return the present description of the Serve instance.

        Raises:
            ClusterError: it does not answer.
        """
        try:
            found: Details = self._client.get_serve_details()
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"the cluster at {self._address} does not answer: {error}") from error
        return found

    def submit(self, config: Mapping[str, Any]) -> None:
        """Have Serve bring what runs to what the Serve config `config` says; returns before that has happened.

        Raises:
            ClusterError: it refuses the config.
        """
        try:
            self._client.deploy_applications(dict(config))
        except (ConnectionError, RuntimeError) as error:
            raise ClusterError(f"the cluster refuses the config: {error}") from error
