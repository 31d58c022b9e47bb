"""Names that this project and Ray use for each other's things: applications, deployments, processes, variables."""

APPLICATION = "neverblank"
"""The application of the routers and the backup."""

ROUTER_DEPLOYMENT = "Router"
BACKUP_DEPLOYMENT = "Backup"
MODEL_DEPLOYMENT = "Model"
POOL_DEPLOYMENT = "Pool"

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Names the cluster that `ray.init(address="auto")` connects to, before any that runs on this machine."""

DASHBOARD_VARIABLE = "RAY_DASHBOARD_ADDRESS"
"""Names the dashboard for Serve's own commands; `neverblank deploy` reads the same variable."""

DASHBOARD_ADDRESS = "http://127.0.0.1:8265"
"""Where the dashboard of a cluster on this machine listens, unless it was told otherwise."""

AUTH_VARIABLE = "RAY_AUTH_MODE"
"""Says whether Ray's programs identify themselves by a token; all of a cluster agree."""

AUTH_MODE = "token"

ARRIVED_HEADER = "x-neverblank-arrived"
"""With it HAProxy tells routers when a request came: milliseconds since 1970, and the name of its host."""

SERVE_COMMAND = ("serve", "run")
"""The program and its first word that start a service in the foreground."""

HAPROXY_PROGRAM = "haproxy"
"""The file name of the proxy that Serve starts."""

RAY_PROCESS_PREFIX = "ray"
"""Ray renames its processes: workers to `ray::<task>`; `raylet` has the prefix by its own name."""

HAPROXY_MANAGER = "HAProxy"
"""Part of the class name, and so of the process title, of the actor that starts HAProxy and looks after it."""
