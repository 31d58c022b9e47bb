"""Everything beside a model in its replica: loading, health by progress, pools, the backup.

May import: policy, request, settings, observability, execution, formats, ray_serve.
"""
