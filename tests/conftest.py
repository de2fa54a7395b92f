"""What holds for every test. Fixtures live beside the tests that use them, shared code in tests/support."""

import os

# Before anything imports ONNX Runtime: its wheels send telemetry by default.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
