"""Everything that runs in the front process: protocols, admission, health, metrics, control. Never imports onnxruntime."""
