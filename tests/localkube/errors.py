"""What the tools of this folder raise. Nothing else."""

from __future__ import annotations


class LocalKubeError(Exception):
    """The message names what was tried and what to do; the command line prints it alone."""
