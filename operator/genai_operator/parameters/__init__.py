"""What users of other servers know by other names: each parameter's home in a GenAIModel, or why it has none. Data."""
