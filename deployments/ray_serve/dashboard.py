"""Serve on a running cluster, reached through the cluster's dashboard: what `neverblank deploy` reads and changes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deployments.ray_serve.names import ROUTER_DEPLOYMENT

Details = Mapping[str, Any]
"""The description of a Serve instance in its REST interface: `ray.serve.schema.ServeInstanceDetails` as JSON."""


def routers_of(details: Details) -> set[str]:
    """Return the ids of the routers that run."""
    return {
        replica["replica_id"]
        for application in details["applications"].values()
        for replica in application.get("deployments", {}).get(ROUTER_DEPLOYMENT, {}).get("replicas", ())
        if replica["state"] == "RUNNING"
    }


class ClusterError(Exception):
    """The cluster cannot be reached, or refuses what it is given."""


class WrongTokenError(ClusterError):
    """The cluster lets nobody in without its token."""


class DashboardClient:
    """A connection to the dashboard of one cluster, on this machine or another one."""

    def __init__(self, address: str) -> None:
        """Connect to the dashboard at `address`, an HTTP URL, with Ray's token where there is one.

        Raises:
            ClusterError: nobody answers there, it is no such URL, or the token is missing or wrong.
        """
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
        from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

        # Unless RAY_AUTH_MODE says otherwise, the token of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or the user's home is
        # sent.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        self._address = address
        try:
            with self._asking(f"no cluster answers at {address}"):
                self._client = ServeSubmissionClient(address)
        except ValueError as error:
            raise ClusterError(f"{address!r} is no address of a dashboard, such as http://127.0.0.1:8265") from error

    def details(self) -> Details:
        """Return the present description of the Serve instance.

        Raises:
            ClusterError: it does not answer.
        """
        with self._asking(f"the cluster at {self._address} does not answer"):
            found: Details = self._client.get_serve_details()
        return found

    def submit(self, config: Mapping[str, Any]) -> None:
        """Have Serve bring what runs to what the Serve config `config` says; returns before that has happened.

        Raises:
            ClusterError: it refuses the config.
        """
        with self._asking("the cluster refuses the config"):
            self._client.deploy_applications(dict(config))

    @contextmanager
    def _asking(self, trouble: str) -> Iterator[None]:
        """Raise what Ray's client raises as a `ClusterError` that begins with `trouble`."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            reason = error.message.partition("\n")[0]
            accepted = "the cluster's token in RAY_AUTH_TOKEN, or in a file that RAY_AUTH_TOKEN_PATH names"
            told = f"the cluster at {self._address} lets nobody in without its token ({reason}); needed is {accepted}"
            raise WrongTokenError(told) from error
        except (OSError, RuntimeError) as error:  # the HTTP library's own errors are OSErrors
            raise ClusterError(f"{trouble}: {error}") from error
