"""Measurements: run by hand, as `python -m benchmarks.NAME`;
timings are never asserted in tests.
"""
