"""The service from Python: `InferenceEngine`.

May import: policy, request, settings, observability and ray_serve.
"""
