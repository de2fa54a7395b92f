"""Which settings serve a stated load best on this machine: what to try, how to measure it, and what to make of it."""
