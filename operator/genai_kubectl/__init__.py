"""`kubectl genai`: what people do with models from a terminal. Speaks to the API server only, with the user's rights.

Rules about specs and options are `genai_operator.api`'s and the API server's; values are passed on as they are.
`decisions` is pure, `clients` is all I/O, `commands` are adapters between them and typer.
"""

__version__ = "0.1.0"  # of the one-file program, which is no installed package; pyproject.toml has the same
