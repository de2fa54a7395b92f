"""Pure: (model, observed) -> conditions, status and the plan for live pods. No I/O, no async."""
