"""Pure: what was seen in the cluster, and what the user typed, to what is done and said. No I/O."""
