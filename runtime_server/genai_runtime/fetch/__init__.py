"""Fetching a model into a content-addressed cache: the init container's program. No engine and no server."""
