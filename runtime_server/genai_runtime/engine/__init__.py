"""Everything that runs in the engine process. Never imports gRPC, HTTP or the front."""
