"""Use cases: gather, decide, act. No kopf, no gRPC, no manifests."""
