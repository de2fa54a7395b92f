"""Traces as files: pods' traces joined into one, the operators' times in them, how two differ, a page to look at.

Reads and writes Chrome-trace JSON; knows neither the engine nor Kubernetes, and nothing of ours is imported here.
"""
