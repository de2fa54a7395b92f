"""`genai-builder`: makes a model for ONNX Runtime GenAI of a Hugging Face folder, into the cache. It has its own image.

No server and no engine of ours: what it shares with the runtime are cache, inspection of folders, and progress.
"""
