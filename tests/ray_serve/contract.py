"""What this project relies on in Ray and Ray Serve, as tables.

Each row is one assumption, with the file that leans on it and what for. `test_contract.py` holds the installed Ray to
the tables. A new import from Ray, or a new variable of Ray's in a config, needs a row here.
"""

from typing import Any

SYMBOLS: dict[str, str] = {
    "ray.cluster_resources": "ray_serve/options.py counts the cluster's GPUs with it",
    "ray.get_actor": "ray_serve/handle.py asks a replica that takes no requests yet",
    "ray.init": "ray_serve/attach.py joins or starts a cluster with it",
    "ray.is_initialized": "ray_serve/attach.py and options.py ask whether this process is connected",
    "ray.shutdown": "ray_serve/attach.py leaves the cluster with it",
    "ray.dashboard.modules.serve.sdk.ServeSubmissionClient": "ray_serve/dashboard.py submits Serve configs through it",
    "ray.exceptions.ActorDiedError": "ray_serve/handle.py takes a replica that raised it for dead",
    "ray.exceptions.RayActorError": "ray_serve/handle.py takes it for a replica that died or cannot be reached",
    "ray.serve.Application": "app.py's builders return it",
    "ray.serve.RunTarget": "ray_serve/attach.py starts a local service's applications with it",
    "ray.serve._private.api._get_global_client": "ray_serve/cluster.py asks the controller through it",
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter": "ray_serve/ready_first.py chooses as it does",
    "ray.serve.request_router.PendingRequest": "ray_serve/ready_first.py is asked for a replica for one",
    "ray.serve.request_router.RunningReplica": "ray_serve/ready_first.py chooses among them",
    "ray.serve.deployment": "app.py binds the plain classes with it",
    "ray.serve.exceptions.BackPressureError": "ray_serve/handle.py reads it as a queue that is full",
    "ray.serve.exceptions.DeploymentUnavailableError": "ray_serve/handle.py reads it as a failure to start",
    "ray.serve.get_app_handle": "ray_serve/attach.py gets the handle of the router by it",
    "ray.serve.get_deployment_handle": "ray_serve/cluster.py gets the handles of models by it",
    "ray.serve.get_multiplexed_model_id": "app.py tells a pool by it which model a request is for",
    "ray.serve.get_replica_context": "app.py learns the router's own application from it",
    "ray.serve.handle.DeploymentHandle": "ray_serve/handle.py makes every call through it",
    "ray.serve.ingress": "app.py makes the router's deployment take HTTP requests with it",
    "ray.serve.multiplexed": "app.py has Serve keep the models of a pool with it",
    "ray.serve.run_many": "ray_serve/attach.py starts a local service with it",
    "ray.serve.schema.ApplicationStatus": "ray_serve/cluster.py reads the state of applications by it",
    "ray.serve.schema.ReplicaState": "ray_serve/cluster.py reads the state of replicas by it",
    "ray.serve.start": "ray_serve/attach.py starts Serve without a proxy with it",
    "ray.serve.status": "ray_serve/attach.py looks with it for the service, and waits for it",
    "ray.util.metrics.Counter": "ray_serve/metrics.py exports counts with it",
    "ray.util.metrics.Histogram": "ray_serve/metrics.py exports the times of answers with it",
}
"""Every name of Ray's that `deployments/` imports, or takes from a module of Ray's that it imports."""

SIGNATURES: dict[str, tuple[tuple[str, ...], str]] = {
    "ray.init": (
        ("address", "namespace", "log_to_driver", "configure_logging"),
        "ray_serve/attach.py joins or starts a cluster and keeps the caller's logging as it is",
    ),
    "ray.serve.RunTarget": (
        ("target", "name", "route_prefix"),
        "ray_serve/attach.py starts applications without routes",
    ),
    "ray.serve.run_many": (
        ("targets", "wait_for_applications_running"),
        "ray_serve/attach.py does not wait for models that cannot start",
    ),
    "ray.serve.start": (("proxy_location",), "ray_serve/attach.py starts Serve without an HTTP port"),
    "ray.serve.multiplexed": (("func", "max_num_models_per_replica"), "app.py bounds the models that a pool holds"),
    "ray.serve.handle.DeploymentHandle.options": (
        ("stream", "multiplexed_model_id", "request_serialization", "response_serialization"),
        "ray_serve/handle.py streams, names the model of a pool, and has requests pickled plainly",
    ),
    "ray.serve.handle.DeploymentHandle.remote": (
        (),
        "ray_serve/handle.py and client/engine.py start each call with it",
    ),
    "ray.serve.handle.DeploymentHandle.broadcast": (
        ("method_name",),
        "ray_serve/handle.py tells every replica of the backup, cluster.py every router what the others have counted",
    ),
    "ray.serve.handle.DeploymentBroadcastResponse.results_async": (
        ("timeout_s", "return_exceptions"),
        "ray_serve/handle.py waits a bounded time for the replicas of the backup, and of servers",
    ),
    "ray.serve.handle.DeploymentResponse.__await__": ((), "ray_serve/handle.py awaits answers"),
    "ray.serve.handle.DeploymentResponse.cancel": ((), "ray_serve/handle.py cancels calls down to the replica"),
    "ray.serve.handle.DeploymentResponseGenerator.__aiter__": ((), "ray_serve/handle.py reads streams"),
    "ray.serve.handle.DeploymentResponseGenerator.__anext__": ((), "client/waiting.py pulls a stream's items singly"),
    "ray.serve.handle.DeploymentResponseGenerator.cancel": ((), "ray_serve/handle.py stops streams at the replica"),
    "ray.serve._private.controller.ServeController.get_http_config": (
        (),
        "ray_serve/cluster.py asks whether other machines can reach the port",
    ),
    "ray.serve._private.controller.ServeController.get_serve_instance_details": (
        (),
        "ray_serve/cluster.py finds models by it, without validating their configurations, and without a thread",
    ),
    "ray.serve._private.replica.ReplicaActor.record_routing_stats": (
        (),
        "ray_serve/handle.py asks a replica that takes no requests yet by it",
    ),
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter.choose_replicas": (
        ("candidate_replicas", "pending_request"),
        "ray_serve/ready_first.py takes its place while a replica takes no requests",
    ),
    "ray.serve.get_deployment_handle": (
        ("deployment_name", "app_name", "_check_exists"),
        "ray_serve/cluster.py has none of its deployments looked up: that would block the event loop",
    ),
    "ray.dashboard.modules.serve.sdk.ServeSubmissionClient": (("dashboard_head_address",), "ray_serve/dashboard.py"),
    "ray.dashboard.modules.serve.sdk.ServeSubmissionClient.get_serve_details": ((), "ray_serve/dashboard.py"),
    "ray.dashboard.modules.serve.sdk.ServeSubmissionClient.deploy_applications": (
        ("config",),
        "ray_serve/dashboard.py",
    ),
    "ray.util.metrics.Counter": (("name", "description", "tag_keys"), "ray_serve/metrics.py"),
    "ray.util.metrics.Counter.inc": (("value", "tags"), "ray_serve/metrics.py"),
    "ray.util.metrics.Histogram": (("name", "description", "boundaries", "tag_keys"), "ray_serve/metrics.py"),
    "ray.util.metrics.Histogram.observe": (("value", "tags"), "ray_serve/metrics.py"),
}
"""Parameters, by name, of what is called."""

FIELDS: dict[str, tuple[tuple[str, ...], str]] = {
    "ray.serve.schema.ServeInstanceDetails": (("applications",), "ray_serve/cluster.py and cli/submission.py"),
    "ray.serve.schema.ApplicationDetails": (
        ("status", "message", "last_deployed_time_s", "deployments", "deployed_app_config"),
        "ray_serve/cluster.py reads how a model is, cli/submission.py what was deployed",
    ),
    "ray.serve.schema.DeploymentDetails": (
        ("message", "replicas", "deployment_config"),
        "ray_serve/cluster.py reads replicas and reasons, cli/submission.py the digest among the options",
    ),
    "ray.serve.schema.ReplicaDetails": (
        ("state", "actor_id", "actor_name", "replica_id"),
        "ray_serve/cluster.py counts replicas and finds those that load; cli/router_agreement.py tells routers apart",
    ),
    "ray.serve.schema.DeploymentSchema": (
        ("name", "user_config", "ray_actor_options"),
        "cli/submission.py looks there for changed settings and for the digest of the files",
    ),
    "ray.serve.schema.ServeApplicationSchema": (
        ("name", "import_path", "args", "deployments"),
        "ray_serve/attach.py and cli/submission.py read them in Serve configs",
    ),
    "ray.serve.config.HTTPOptions": (("host",), "ray_serve/cluster.py reads where the port is bound"),
    "ray.serve.config.RequestRouterConfig": (
        ("request_router_class", "request_routing_stats_period_s"),
        "ray_serve/ready_first.py has replicas chosen by what they say, and asked often enough",
    ),
    "ray.serve.schema.ServeStatus": (("applications",), "ray_serve/attach.py looks there for the service"),
    "ray.serve.schema.ApplicationStatusOverview": (
        ("status", "message", "deployments"),
        "ray_serve/attach.py waits by them for the service to be up",
    ),
    "ray.serve.schema.DeploymentStatusOverview": (
        ("status",),
        "ray_serve/attach.py tells by it whether the router is up",
    ),
}
"""Fields of the values that Serve gives, as objects or as JSON."""

MEMBERS: dict[str, tuple[tuple[str, ...], str]] = {
    "ray.serve.schema.ApplicationStatus": (
        ("RUNNING", "DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY", "DELETING"),
        "ray_serve/attach.py and cluster.py, router/registered_model.py and cli/submission.py compare with them",
    ),
    "ray.serve.schema.ReplicaState": (("RUNNING", "STARTING"), "ray_serve/cluster.py counts these"),
    "ray.serve._private.common.DeploymentStatus": (
        ("HEALTHY", "DEPLOY_FAILED"),
        "ray_serve/attach.py compares with them",
    ),
}
"""Members of enumerations, whose values are their names."""

CONSTANTS: dict[str, tuple[Any, str]] = {
    "ray.serve._private.replica.SERVE_BUILD_ASGI_APP_METHOD": (
        "__serve_build_asgi_app__",
        "app.py: Serve asks a router for its ASGI application by this method",
    ),
    "ray.serve._private.constants.HEALTH_CHECK_METHOD": (
        "check_health",
        "replica/replica.py: a replica counts as running once this method has returned",
    ),
    "ray.serve._private.constants.REQUEST_ROUTING_STATS_METHOD": (
        "record_routing_stats",
        "replica/replica.py: this method of a replica can be asked before it takes requests",
    ),
    "ray.serve._private.constants.SERVE_NAMESPACE": ("serve", "ray_serve/handle.py finds replicas in it"),
    "ray.serve._private.constants.RECONFIGURE_METHOD": (
        "reconfigure",
        "router/router.py: a changed `user_config` arrives through this method",
    ),
    "ray.serve._private.constants.SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER": (
        "x-request-disconnect-disabled",
        "ray_serve/ingress.py keeps Serve from watching the caller with this header",
    ),
    "ray.serve._private.constants.SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER": (
        "x-request-timeout-seconds",
        "ray_serve/ingress.py keeps Serve from cutting streams with this header, in which callers set deadlines",
    ),
    "ray.serve._private.serialization.SerializationMethod.PICKLE": ("pickle", "ray_serve/handle.py asks for it"),
    "ray.serve._private.constants.DEFAULT_MAX_ONGOING_REQUESTS": (5, "app.py sets another number for the routers"),
    "ray.serve._private.constants.RAY_SERVE_HAPROXY_STATS_PORT": (8404, "README.md names the open port"),
    "ray.serve._private.constants.RAY_SERVE_HAPROXY_METRICS_PORT": (9101, "README.md names the open port"),
}
"""Values of Ray's that are repeated in this project."""

DEFAULTS: dict[str, tuple[Any, str]] = {
    "RAY_SERVE_HAPROXY_NBTHREAD": (4, "serve_config.yaml sets it, as two cores are too few for the default"),
    "RAY_SERVE_HAPROXY_RETRY_ON": ("conn-failure", "serve_config.yaml widens it"),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": (30, "serve_config.yaml shortens it"),
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": (4 << 20, "serve_config.yaml raises it for large inputs and outputs"),
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": (True, "ray_serve/options.py switches it off for replicas"),
}
"""Serve's defaults that comments give as the reason for a setting; a changed default may make the setting needless."""

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
    "RAY_SERVE_HAPROXY_BINARY_PATH": (_CONSTANTS, "Makefile has Serve start HAProxy by way of ray_serve/front.py"),
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": (_CONSTANTS, "serve_config.yaml bounds how long a reader may take nothing"),
    "RAY_SERVE_HAPROXY_NBTHREAD": (_CONSTANTS, "serve_config.yaml keeps a core for the routers"),
    "RAY_SERVE_HAPROXY_RETRIES": (_CONSTANTS, "serve_config.yaml has requests of a dead router replayed"),
    "RAY_SERVE_HAPROXY_RETRY_ON": (_CONSTANTS, "serve_config.yaml says when, and takes an option of Serve's back"),
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": (_CONSTANTS, "serve_config.yaml bounds what can be replayed"),
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
