# What stands in a row, as C has it; rows.py tells what it is.

cimport cython

from pfwatch.parsing.hits cimport Hit, Hits

cdef Py_ssize_t _HIT, _MOMENT


cdef class Row:
    cdef readonly str subject
    cdef readonly bytes host
    cdef public Py_ssize_t left, unkept, whole_at
    cdef public double last, earliest
    cdef public list waiting
    cdef public object watch
    cdef public bint gone, bare, held
    cdef Row older, younger


cdef class Rows:
    cdef readonly str rule
    cdef public Py_ssize_t limit
    cdef readonly double window
    cdef public double quiet_at
    cdef readonly Py_ssize_t evicted
    cdef readonly bint keep, texts
    cdef readonly dict of_subject, of_client
    cdef public set changed, ended
    cdef readonly list news
    cdef public Py_ssize_t heard
    cdef readonly Row ring
    @cython.locals(older=Row, younger=Row, row=Row)
    cpdef touch(self, Row row)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t hang_up(self, Row row, Hit hit)
    cpdef Py_ssize_t hang_up_moment(self, Row row, double at)
    cpdef drop(self, Row row)
    cpdef keep_anew(self, Row row)
    cpdef note(self, Row row, object what)
    @cython.locals(ring=Row, youngest=Row)
    cdef _hang_in(self, Row row)
    @cython.locals(older=Row, younger=Row)
    cdef _hang_out(self, Row row)


cdef class HitCounter:
    cdef object looker
    cdef dict wanted
    cdef public Py_ssize_t room
    cdef Py_ssize_t number
    cdef list changes
    cdef _count_one(self, Rows rows, Hit hit)
