"""The only I/O: the API server, programs in pods, and HTTP to pods through a port-forward."""
