# What stands in a hit, as C has it; hits.py tells what it is.

cimport cython


cdef class Hits:
    cdef readonly object form, kind
    cdef readonly tuple more
    cdef readonly bytes host, tag, head
    cdef readonly str service, daemon


@cython.no_gc  # nothing in it leads back to it
@cython.freelist(512)
cdef class Hit:
    cdef readonly Hits hits
    cdef readonly object moment
    cdef readonly double at
    cdef readonly bytes time, pid, queue_id, client, tail
