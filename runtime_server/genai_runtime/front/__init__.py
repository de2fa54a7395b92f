"""Everything in the front process: protocols, admission, health, metrics, control. Never imports onnxruntime."""
