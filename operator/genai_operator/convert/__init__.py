"""`genai-operator convert`: Triton's configurations as GenAIModels. The operator never imports it."""
