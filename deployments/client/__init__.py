"""The service from Python: `InferenceEngine`."""
