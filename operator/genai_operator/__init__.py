"""The Kubernetes operator for ONNX Runtime GenAI."""
