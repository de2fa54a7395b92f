"""The model server: a gRPC front process and an engine process beside it."""
