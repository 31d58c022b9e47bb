"""Measurements. Pairs are measured alternately in one run, and reported as medians and ratios."""
