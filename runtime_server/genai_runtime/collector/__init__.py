"""Carries the traces of a profile out of the pods: fetched over mutual TLS, joined, written to a folder or a bucket.

Its own process (`genai-runtime collect`, a Job in a cluster): nothing of the server is imported here.
"""
