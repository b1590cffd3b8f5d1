# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The journal through libsystemd itself, in compiled code.

Enters: where the journal is, and who makes lines of entries. Leaves: lines, put where he gathers them. This file must
never know a field's meaning. libsystemd is looked for when pfwatch runs: nothing of it is needed to build this, and
machines without it read no journal.

The methods have the names of the package systemd-python, so that one can stand for the other. What it has and the
package has not is `pull`: it looks at an entry's fields where they lie, and makes an object of the line alone.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from pfwatch.sums cimport sum_of

from pfwatch.sources.journal.lines import FIELDS, FORGED, OTHER

cdef extern from "<dlfcn.h>":
    int RTLD_NOW
    void* dlopen(const char*, int)
    void* dlsym(void*, const char*)

cdef enum:
    LOCAL_ONLY = 1  # this machine's journal, not those that were sent to it
    MOST_FIELDS = 16
    KNOWN = 2048  # writers that are remembered, each in his place
    MICROSECONDS = 1_000_000

ctypedef void sd_journal

cdef struct Api:
    int (*open)(sd_journal**, int) noexcept
    int (*open_namespace)(sd_journal**, const char*, int) noexcept
    int (*open_directory)(sd_journal**, const char*, int) noexcept
    int (*open_files)(sd_journal**, const char**, int) noexcept
    void (*close)(sd_journal*) noexcept
    int (*add_match)(sd_journal*, const void*, size_t) noexcept
    int (*add_disjunction)(sd_journal*) noexcept
    int (*seek_head)(sd_journal*) noexcept
    int (*seek_tail)(sd_journal*) noexcept
    int (*seek_realtime_usec)(sd_journal*, uint64_t) noexcept
    int (*seek_cursor)(sd_journal*, const char*) noexcept
    int (*next)(sd_journal*) noexcept
    int (*next_skip)(sd_journal*, uint64_t) noexcept nogil
    int (*previous)(sd_journal*) noexcept
    int (*get_realtime_usec)(sd_journal*, uint64_t*) noexcept
    int (*get_cursor)(sd_journal*, char**) noexcept
    int (*get_fd)(sd_journal*) noexcept
    int (*process)(sd_journal*) noexcept
    void (*restart_data)(sd_journal*) noexcept
    int (*enumerate_data)(sd_journal*, const void**, size_t*) noexcept

cdef Api api
cdef bint looked_for = False, found = False


cdef bint find() except -1:
    """Find libsystemd and what is needed of it."""
    global looked_for, found
    cdef void* library
    cdef void** into = <void**>&api
    if looked_for:
        return found
    looked_for = True
    library = dlopen(b"libsystemd.so.0", RTLD_NOW)
    if library == NULL:
        return False
    # In the order of `Api`.
    for name in (
        b"open", b"open_namespace", b"open_directory", b"open_files", b"close", b"add_match", b"add_disjunction",
        b"seek_head", b"seek_tail", b"seek_realtime_usec", b"seek_cursor", b"next", b"next_skip", b"previous",
        b"get_realtime_usec", b"get_cursor", b"get_fd", b"process", b"restart_data", b"enumerate_available_data",
    ):
        into[0] = dlsym(library, b"sd_journal_" + name)
        if into[0] == NULL:
            return False  # older than 246 (2020)
        into += 1
    found = True
    return True


def is_available():
    """Whether this machine has a libsystemd that can be used."""
    return find()


cdef int checked(int result) except -1:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


cdef struct Value:
    # Of a field of the present entry, in the scratch.
    size_t begin
    int size  # -1: the entry has no such field


cdef struct Known:
    # How the lines begin of whoever writes entries with these values.
    uint64_t sum
    int sizes[MOST_FIELDS]
    PyObject* values  # one behind the other
    PyObject* begin


cdef class Journal:
    """One open journal. Everything raises OSError."""

    cdef sd_journal* journal
    cdef tuple names
    cdef int fields
    cdef const char* wanted[MOST_FIELDS]
    cdef size_t lengths[MOST_FIELDS]
    cdef signed char likely[256]  # by a name's second byte: the first field that has it, -1 for none
    cdef signed char others[MOST_FIELDS]  # the next one
    cdef Value values[MOST_FIELDS]
    cdef char* scratch
    cdef size_t room, used
    cdef char* text  # the lines of this `pull`
    cdef size_t space, written
    cdef Known* known
    cdef uint64_t second
    cdef bytes clock

    def __cinit__(self, *, path=None, files=None, namespace=None):
        """A directory, one file, or a journal of this machine."""
        cdef const char* list_of_files[2]
        if not find():
            raise OSError("there is no libsystemd")
        self.names = tuple([name.encode() + b"=" for name in FIELDS])  # the message is the last
        self.fields = len(self.names)
        if self.fields > MOST_FIELDS:
            raise ValueError("too many fields")
        cdef int number
        memset(self.likely, -1, 256)
        for number in range(self.fields - 1, -1, -1):
            self.wanted[number] = PyBytes_AS_STRING(<bytes>self.names[number])
            self.lengths[number] = PyBytes_GET_SIZE(<bytes>self.names[number])
            self.others[number] = self.likely[<unsigned char>self.wanted[number][1]]
            self.likely[<unsigned char>self.wanted[number][1]] = number
        self.known = <Known*>calloc(KNOWN, sizeof(Known))
        if self.known == NULL:
            raise MemoryError
        self.second, self.clock = <uint64_t>-1, b""
        if files is not None:
            (file,) = files
            encoded = os.fsencode(file)
            list_of_files[0], list_of_files[1] = PyBytes_AS_STRING(encoded), NULL
            checked(api.open_files(&self.journal, list_of_files, 0))
        elif path is not None:
            encoded = os.fsencode(path)
            checked(api.open_directory(&self.journal, PyBytes_AS_STRING(encoded), 0))
        elif namespace is not None:
            encoded = namespace.encode()
            checked(api.open_namespace(&self.journal, PyBytes_AS_STRING(encoded), LOCAL_ONLY))
        else:
            checked(api.open(&self.journal, LOCAL_ONLY))

    def __dealloc__(self):
        cdef int number
        self.close()
        if self.known != NULL:
            for number in range(KNOWN):
                Py_XDECREF(self.known[number].begin)
                Py_XDECREF(self.known[number].values)
        free(self.known)
        free(self.scratch)
        free(self.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Let go of the files; nothing else may be asked afterwards."""
        if self.journal != NULL:
            api.close(self.journal)
            self.journal = NULL

    cdef sd_journal* open(self) except NULL:
        if self.journal == NULL:
            raise ValueError("the journal is closed")
        return self.journal

    def add_match(self, match):
        """Select entries with a field: `NAME=value`."""
        encoded = match.encode()
        checked(api.add_match(self.open(), PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded)))

    def add_disjunction(self):
        """Select what fits the matches before, or those behind."""
        checked(api.add_disjunction(self.open()))

    def seek_head(self):
        """Before the first entry."""
        checked(api.seek_head(self.open()))

    def seek_tail(self):
        """Behind the last one."""
        checked(api.seek_tail(self.open()))

    def seek_realtime(self, microseconds):
        """Before the first entry that is not older, since the epoch."""
        checked(api.seek_realtime_usec(self.open(), microseconds))

    def seek_cursor(self, cursor):
        """To an entry."""
        encoded = cursor.encode()
        checked(api.seek_cursor(self.open(), PyBytes_AS_STRING(encoded)))

    def _next(self, count=1):
        """Go on by entries; whether there was one."""
        cdef sd_journal* journal = self.open()
        cdef uint64_t steps = count
        cdef int result
        with nogil:  # it may be a whole file
            result = api.next_skip(journal, steps)
        return checked(result) > 0

    def _previous(self):
        """Go back by one; whether there was one."""
        return checked(api.previous(self.open())) > 0

    def _get_realtime(self):
        """When journald received the present entry, microseconds since the epoch."""
        cdef uint64_t microseconds
        checked(api.get_realtime_usec(self.open(), &microseconds))
        return microseconds

    def _get_cursor(self):
        """The present entry's cursor."""
        cdef char* cursor
        checked(api.get_cursor(self.open(), &cursor))
        try:
            return (<bytes>cursor).decode()
        finally:
            free(cursor)

    def fileno(self):
        """A descriptor that can be read when there is something to `process`."""
        return checked(api.get_fd(self.open()))

    def process(self):
        """Take notice of what was written; what it was, as sd_journal_process(3) says."""
        return checked(api.process(self.open()))

    def pull(self, lines, Py_ssize_t count):
        """Put at most `count` entries into a `LineMaker`. Fewer: there are no more at present."""
        self.open()
        self.written = 0
        try:
            return self.write_lines(lines, count)
        finally:
            if self.written:
                lines.blocks.append(PyBytes_FromStringAndSize(self.text, self.written))

    cdef Py_ssize_t write_lines(self, lines, Py_ssize_t count) except -1:
        cdef Py_ssize_t number, longest = lines.max_line
        cdef uint64_t at
        cdef bytes begin, line
        cdef size_t start
        cdef Value* message = &self.values[self.fields - 1]
        for number in range(count):
            if checked(api.next(self.journal)) == 0:
                return number
            self.look()
            begin = self.begin_of(lines)
            if begin is OTHER:
                continue
            if begin is FORGED:
                lines.forged += 1
                continue
            checked(api.get_realtime_usec(self.journal, &at))
            if at // MICROSECONDS != self.second:
                self.second = at // MICROSECONDS
                self.clock = lines.clock_of(self.second)
            # CLOCK.123456+00:00 BEGIN MESSAGE
            start = self.written
            self.write(PyBytes_AS_STRING(self.clock), PyBytes_GET_SIZE(self.clock))
            self.write_fraction(at % MICROSECONDS)
            self.write(PyBytes_AS_STRING(begin), PyBytes_GET_SIZE(begin))
            if message.size > 0:
                self.write(self.scratch + message.begin, message.size)
            if <Py_ssize_t>(self.written - start) > longest or (
                message.size > 0 and memchr(self.scratch + message.begin, c"\n", message.size) != NULL
            ):
                line = lines.tidy(PyBytes_FromStringAndSize(self.text + start, self.written - start))
                self.written = start
                self.write(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            self.write(b"\n", 1)
        return count

    cdef int write(self, const char* data, size_t size) except -1:
        cdef char* bigger
        if self.written + size > self.space:
            bigger = <char*>realloc(self.text, 2 * (self.written + size))
            if bigger == NULL:
                raise MemoryError
            self.text, self.space = bigger, 2 * (self.written + size)
        memcpy(self.text + self.written, data, size)
        self.written += size
        return 0

    cdef int write_fraction(self, uint64_t microseconds) except -1:
        cdef char text[14]
        cdef int place
        memcpy(text, b".000000+00:00 ", 14)
        for place in range(6, 0, -1):
            text[place] = <char>(c"0" + microseconds % 10)
            microseconds //= 10
        return self.write(text, 14)

    cdef bytes begin_of(self, lines):
        """How the lines begin of whoever wrote the present entry: out of a table, where he stands in it."""
        cdef int number
        cdef size_t size = 0
        cdef uint64_t total = 0
        for number in range(self.fields - 1):
            size = max(self.values[number].size, 0)
            total = sum_of(<const unsigned char*>self.scratch + self.values[number].begin, size, total + number)
        cdef Known* known = &self.known[total % KNOWN]
        cdef const char* at
        if known.begin != NULL and known.sum == total:
            at = PyBytes_AS_STRING(<bytes>known.values)
            for number in range(self.fields - 1):
                size = max(self.values[number].size, 0)
                if known.sizes[number] != self.values[number].size or memcmp(
                    at, self.scratch + self.values[number].begin, size
                ) != 0:
                    break
                at += size
            else:
                return <bytes>known.begin
        values = tuple([
            None if self.values[number].size < 0
            else PyBytes_FromStringAndSize(self.scratch + self.values[number].begin, self.values[number].size)
            for number in range(self.fields - 1)
        ])
        begin = lines.begin_of(values)
        together = b"".join([value for value in values if value is not None])
        Py_INCREF(begin)
        Py_INCREF(together)
        Py_XDECREF(known.begin)
        Py_XDECREF(known.values)
        known.begin, known.values, known.sum = <PyObject*>begin, <PyObject*>together, total
        for number in range(self.fields - 1):
            known.sizes[number] = self.values[number].size
        return begin

    cdef int look(self) except -1:
        """Copy the fields that are looked at; where one stands several times, the first. What libsystemd shows of a
        field is there only until the next one is asked for.
        """
        cdef const char* data
        cdef size_t size, length
        cdef int number, left = self.fields
        for number in range(self.fields):
            self.values[number].size = -1
        self.used = 0
        api.restart_data(self.journal)
        while left and api.enumerate_data(self.journal, <const void**>&data, &size) > 0:
            number = self.likely[<unsigned char>data[1]] if size > 1 else -1
            while number >= 0:
                length = self.lengths[number]
                if size >= length and memcmp(data, self.wanted[number], length) == 0:
                    if self.values[number].size < 0:
                        self.keep(data + length, size - length)
                        self.values[number].begin = self.used - (size - length)
                        self.values[number].size = size - length
                        left -= 1
                    break
                number = self.others[number]
        return 0

    cdef int keep(self, const char* data, size_t size) except -1:
        cdef char* bigger
        if self.used + size > self.room:
            bigger = <char*>realloc(self.scratch, 2 * (self.used + size))
            if bigger == NULL:
                raise MemoryError
            self.scratch, self.room = bigger, 2 * (self.used + size)
        memcpy(self.scratch + self.used, data, size)
        self.used += size
        return 0
