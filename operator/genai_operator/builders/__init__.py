"""Pure: (model, settings) -> the children's manifests. Same input, equal output; no I/O, no async."""
