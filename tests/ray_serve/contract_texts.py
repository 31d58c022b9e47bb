"""What this project relies on in Ray that is known by its text: see `contract`."""

_CONSTANTS = "ray.serve._private.constants"

VARIABLES: dict[str, tuple[str, str]] = {
    "RAY_ADDRESS": ("ray._private.ray_constants", "ray_serve/attach.py joins the cluster it names"),
    "RAY_AUTH_MODE": (
        "ray._private.authentication.authentication_token_setup",
        "Makefile has every program of the environment use the token that Ray keeps for the user",
    ),
    "RAY_DASHBOARD_ADDRESS": ("ray.serve.scripts", "cli/deploy.py reads the variable that `serve deploy` reads"),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": (
        _CONSTANTS,
        "serve_config.yaml: Ctrl-C must not take half a minute",
    ),
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": (_CONSTANTS, "configs/portable.yaml runs on Serve's own proxy"),
    "RAY_SERVE_ENABLE_HA_PROXY": (_CONSTANTS, "serve_config.yaml has HAProxy in front"),
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": (_CONSTANTS, "all configs: what is ill is not given the time to drain"),
    "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": (_CONSTANTS, "serve_config.yaml puts HAProxy's own answers behind it"),
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": (_CONSTANTS, "serve_config.yaml: longer than the longest request"),
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": (_CONSTANTS, "configs/cluster.yaml: how many checks a router may miss"),
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": (_CONSTANTS, "configs/cluster.yaml: how often a router is checked"),
    "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": (_CONSTANTS, "configs/cluster.yaml: a silent host is left soon"),
    "RAY_SERVE_HAPROXY_BINARY_PATH": (_CONSTANTS, "Makefile has Serve start HAProxy by way of ray_serve/front.py"),
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": (_CONSTANTS, "serve_config.yaml bounds how long a reader may take nothing"),
    "RAY_SERVE_HAPROXY_NBTHREAD": (_CONSTANTS, "serve_config.yaml keeps a core for the routers"),
    "RAY_SERVE_HAPROXY_RETRIES": (_CONSTANTS, "serve_config.yaml has requests of a dead router replayed"),
    "RAY_SERVE_HAPROXY_RETRY_ON": (_CONSTANTS, "serve_config.yaml says when, and takes an option of Serve's back"),
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": (_CONSTANTS, "serve_config.yaml bounds what can be replayed"),
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": (_CONSTANTS, "all configs: a busy machine starts HAProxy slowly"),
    "RAY_SERVE_PROXY_USE_GRPC": (_CONSTANTS, "all configs: the proxy reaches replicas through gRPC"),
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": (_CONSTANTS, "all configs: inputs and outputs may be large"),
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": (_CONSTANTS, "ray_serve/options.py: no queue without bounds"),
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": (_CONSTANTS, "all configs: replicas talk gRPC, without a thread between"),
}
"""Every variable of Ray's that this project sets or reads, and the module of Ray's that reads it."""

LITERALS: dict[str, tuple[str, str]] = {
    "record_autoscaling_stats": (
        "ray.serve._private.replica",
        "replica/backup.py: Serve asks replicas through this method for numbers to scale by",
    ),
    "ray::IDLE": ("ray._private.ray_constants", "ray_serve/names.py: cli/processes.py tells Ray's processes by `ray`"),
    "haproxy": ("ray.serve._private.haproxy", "ray_serve/names.py: cli/processes.py tells HAProxy by its file name"),
    "RAY_AUTH_TOKEN": (
        "ray._private.runtime_env.image_uri",
        "settings/credentials.py leaves variables with the prefix RAY_, among them the cluster's token",
    ),
}
"""Text that Ray's own sources contain, and the module that does."""
