"""What operators are told: log lines and metrics.

May import: policy.
"""
