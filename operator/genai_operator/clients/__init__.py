"""The only I/O of the operator: the API server (kube.py) and the control service of one pod (runtime.py)."""
