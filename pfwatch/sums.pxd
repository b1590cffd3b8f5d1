# A number for a text, for the tables of compiled modules; any of them may cimport this.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef inline uint64_t sum_of(const unsigned char* text, size_t size, uint64_t seed) noexcept nogil:
    """The same for the same text and seed; whoever wants it unforeseeable takes a seed that nobody outside knows."""
    cdef uint64_t total = seed ^ size, word
    while size >= 8:
        memcpy(&word, text, 8)
        total = (total ^ word) * <uint64_t>0x9E3779B97F4A7C15
        total ^= total >> 29
        text += 8
        size -= 8
    if size:
        word = 0
        memcpy(&word, text, size)
        total = (total ^ word) * <uint64_t>0x9E3779B97F4A7C15
        total ^= total >> 29
    total *= <uint64_t>0xBF58476D1CE4E5B9
    return total ^ (total >> 32)
