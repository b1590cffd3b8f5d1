"""Which log a file is, whatever it is called now: known by how it begins.

Enters: the first bytes of a file. Leaves: its fingerprint and comparisons. This file must never know of open files.
"""

from hashlib import blake2b

FINGERPRINT_BYTES = 1024
"""A few log lines: enough to hold a time to the second, a host and a process, none of which comes again."""


def fingerprint_of(head: bytes) -> str:
    """`<length>:<BLAKE2b-128 hex>` over at most the first `FINGERPRINT_BYTES` of the beginning of a file."""
    head = head[:FINGERPRINT_BYTES]
    return f"{len(head)}:{blake2b(head, digest_size=16).hexdigest()}"


def length_of(fingerprint: str) -> int:
    """How many bytes it covers; 0 for a file that was empty, which could be any file."""
    return int(fingerprint.partition(":")[0])


def begins_with(head: bytes, fingerprint: str) -> bool:
    """Whether a file with this beginning is the one of the fingerprint, which may have grown since."""
    length = length_of(fingerprint)
    return len(head) >= length and fingerprint_of(head[:length]) == fingerprint
