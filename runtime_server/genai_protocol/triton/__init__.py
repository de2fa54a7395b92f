"""Triton's model configuration, as far as it is read: the messages of a config.pbtxt. Nothing of it is served."""
