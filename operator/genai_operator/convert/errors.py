"""What a conversion fails with. What merely cannot be carried over is no error: it becomes a comment."""


class CannotConvert(Exception):
    """The message names the file, where in it, what is wrong and what the user can do."""
