"""What holds for every test. Fixtures live beside the tests that use them, shared code in tests/support."""

import os
from typing import Any

import pytest

# Before anything imports ONNX Runtime: its wheels send telemetry by default.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """With `--numprocesses`: which tests may run beside which."""
    from support.side_by_side import ClusterTogether  # only there where there is pytest-xdist

    return ClusterTogether(config, log)
