"""Why the state cannot be kept. Enters: nothing. Leaves: the errors of this part. It must never know SQL."""


class StateError(Exception):
    """The state database cannot be opened, read or written; the text says why and what to do."""


class PassingError(StateError):
    """It may pass without a change of the settings: a full or read-only disk, another process at work on the file."""


class DamagedError(StateError):
    """The file is there and is no sound database."""


class OlderError(StateError):
    """A run that began without a database found one meanwhile that knows more: begin again, from that one."""


class StaleError(StateError):
    """The database is not the one that these changes build upon: everything has to be written, once."""
