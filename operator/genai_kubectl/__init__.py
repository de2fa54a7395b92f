"""`kubectl genai`: what people do with models from a terminal. Speaks to the API server only, with the user's rights.

Rules about specs and options are `genai_operator.api`'s; here they are asked for, never repeated.
"""
