"""The batch engine: continuous batching over ONNX Runtime itself. Nothing here knows the front."""
