"""Profiling windows: which runs, the caps, collecting the runs' files, one merged trace and its summary."""
