"""One module a protocol: translation between its messages and `genai_runtime.generation`, nothing else."""
