"""Why the state cannot be kept. Enters: nothing. Leaves: the one error of this part. It must never know SQL."""


class StateError(Exception):
    """The state database cannot be opened, read or written; the text says why and what to do."""
