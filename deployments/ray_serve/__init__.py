"""Everything that knows Ray: handles, the controller, deployment options, autoscaling."""
