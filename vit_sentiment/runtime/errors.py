"""The error a user can act on."""


class UserError(Exception):
    """A mistake in what the user gave: one line that names the thing, what was expected and found.

    Verbs print it without a traceback and exit with code 1; every other exception is a defect of
    this project and keeps its traceback.
    """
