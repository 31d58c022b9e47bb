"""Everything that knows Ray: Serve's handles, controller, options and private names, autoscaling and metrics.

May import: policy, request, settings, observability, execution and Ray.

Whatever is relied on here, and in `app`, has a row in tests/ray_serve/test_contract.py.
"""
