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
    "ray._private.authentication.authentication_token_setup.maybe_enable_token_auth_if_token_available": (
        "ray_serve/dashboard.py finds the cluster's token by it where no variable says to look for one"
    ),
    "ray.dashboard.modules.serve.sdk.ServeSubmissionClient": "ray_serve/dashboard.py submits Serve configs through it",
    "ray.exceptions.AuthenticationError": "ray_serve/dashboard.py reads it as a token that is missing or wrong",
    "ray.exceptions.ActorDiedError": "ray_serve/handle.py takes a replica that raised it for dead",
    "ray.exceptions.RayActorError": "ray_serve/handle.py takes it for a replica that died or cannot be reached",
    "ray._private.grpc_utils.init_grpc_channel": "watched_router.py makes the connection to a replica as Serve does",
    "ray.serve._private.common.ReplicaID": "watched_router.py is told by it where a call was sent",
    "ray.serve._private.common.RequestMetadata": "watched_router.py pings a replica with it",
    "ray.serve._private.common.RunningReplicaInfo": "watched_router.py finds a replica by it",
    "ray.serve._private.constants.RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": "watched_router.py: as Serve",
    "ray.serve._private.default_impl.create_router": "watched_router.py has a handle choose by a class of its own",
    "ray.serve._private.utils.generate_request_id": "watched_router.py gives pings an id",
    "ray.serve.generated.serve_pb2_grpc.ASGIServiceStub": "watched_router.py calls a replica with it",
    "ray.serve.Application": "app.py's builders return it",
    "ray.serve.RunTarget": "ray_serve/attach.py starts a local service's applications with it",
    "ray.serve._private.api._get_global_client": "ray_serve/cluster.py asks the controller through it",
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter": "watched_router.py chooses as it does",
    "ray.serve.request_router.PendingRequest": "ray_serve/watched_router.py is asked for a replica for one",
    "ray.serve.request_router.RunningReplica": "ray_serve/watched_router.py chooses among them",
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
    "ray.util.metrics.Gauge": "ray_serve/metrics.py exports what a router or an engine is at with it",
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
    "ray.serve.handle.DeploymentBroadcastResponse._fetch_replica_results_async": (
        (),
        "ray_serve/routers.py waits for each router by itself, so that one that is late hides no other one",
    ),
    "ray.serve._private.replica_result.ReplicaResult.get_async": (
        (),
        "ray_serve/routers.py reads what a router answers",
    ),
    "ray.serve._private.replica_result.ReplicaResult.cancel": (
        (),
        "ray_serve/routers.py gives a router up that is late",
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
        "ray_serve/watched_router.py takes its place while a replica takes no requests",
    ),
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter.on_send_request": (
        ("replica_id",),
        "ray_serve/watched_router.py learns by it to which replica a call goes",
    ),
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter.on_new_queue_len_info": (
        ("replica_id", "num_ongoing_requests"),
        "ray_serve/watched_router.py says by it that a replica which is back can be asked",
    ),
    "ray.serve._private.request_router.PowerOfTwoChoicesRequestRouter.create_replica_wrapper": (
        ("replica_info",),
        "ray_serve/watched_router.py has replicas whose connections can be made anew",
    ),
    "ray.serve.request_router.RunningReplica.try_send_request": (
        ("pr", "with_rejection"),
        "ray_serve/watched_router.py pings with it",
    ),
    "ray.serve._private.default_impl.create_router": (
        ("handle_id", "deployment_id", "handle_options", "request_router_class"),
        "ray_serve/watched_router.py has a handle choose by a class of its own",
    ),
    "ray.serve._private.common.RequestMetadata": (
        ("request_id", "internal_request_id", "call_method", "_by_reference", "_on_separate_loop"),
        "ray_serve/watched_router.py pings a replica with it, over gRPC and on the running loop",
    ),
    "ray.serve.request_router.PendingRequest": (
        ("args", "kwargs", "metadata"),
        "ray_serve/watched_router.py pings a replica with it",
    ),
    "ray._private.grpc_utils.init_grpc_channel": (
        ("address", "options", "asynchronous"),
        "ray_serve/watched_router.py",
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
    "ray.util.metrics.Gauge": (("name", "description", "tag_keys"), "ray_serve/metrics.py"),
    "ray.util.metrics.Gauge.set": (("value", "tags"), "ray_serve/metrics.py"),
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
        "ray_serve/cluster.py counts replicas and finds those that load; ray_serve/dashboard.py tells routers apart",
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
        ("request_routing_stats_period_s",),
        "ray_serve/options.py has replicas asked often enough whether they take requests",
    ),
    "ray.serve._private.common.RunningReplicaInfo": (
        ("node_ip", "port"),
        "ray_serve/watched_router.py reaches a replica there",
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
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": (False, "replicas that are ill would drain"),
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": (120, "serve_config.yaml lengthens it"),
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": ("5s", "configs/cluster.yaml shortens it"),
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": (5.0, "all configs lengthen it"),
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": (4 << 20, "serve_config.yaml raises it for large inputs and outputs"),
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": (True, "ray_serve/options.py switches it off for replicas"),
}
"""Serve's defaults that comments give as the reason for a setting; a changed default may make the setting needless."""
