# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The lines of hits put together from texts, compiled: what `composer.Composer` does, with the same result.

Enters: events and hits. Leaves: their lines. It must never know a kind, nor a wording: what lines have in common is
told by whoever made it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

from pfwatch.parsing.hits cimport Hit, Hits

cdef enum:
    MOST_HOLES = 8
    MOST_TEMPLATES = 64  # of hits alike; beyond, all are forgotten
    MOST_ALIKE = 4096
    MOST_CLIENTS = 16384
    LONGEST_TEXT = 256  # as it is written without being looked at by Python
    LONGEST_PID = 18
    AGAIN = -1  # as `composer.AGAIN`


cdef class Template:
    """Tails that are the same but for what was typed, and what their lines have behind the client."""

    cdef readonly object told
    cdef int holes, texts
    cdef const char* before[MOST_HOLES + 1]  # before each hole, and behind the last
    cdef Py_ssize_t size[MOST_HOLES + 1]
    cdef const char* written[MOST_HOLES + 1]  # before each text, and behind the last
    cdef Py_ssize_t written_size[MOST_HOLES + 1]
    cdef int hole[MOST_HOLES]  # which hole each text stands in; AGAIN

    def __init__(self, told):
        self.told = told  # what the pointers point into
        if len(told.holes) > MOST_HOLES or len(told.tail) > MOST_HOLES + 1:
            raise ValueError("too many holes")
        self.holes, self.texts = len(told.tail) - 1, len(told.holes)
        cdef int number
        cdef bytes text
        for number, text in enumerate(told.tail):
            self.before[number], self.size[number] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        for number, text in enumerate(told.written):
            self.written[number], self.written_size[number] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        for number in range(self.texts):
            self.hole[number] = told.holes[number]

    cdef bint fits(self, const char* at, const char* end, const char** begins, const char** ends) noexcept:
        """Whether a tail is such a one, and where its holes are: each ends at the first byte that is as the one behind."""
        cdef int number
        cdef const char* stop
        if end - at < self.size[0] or memcmp(at, self.before[0], self.size[0]) != 0:
            return False
        at += self.size[0]
        for number in range(self.holes):
            if self.size[number + 1] == 0:
                stop = end  # the last one
            else:
                stop = <const char*>memchr(at, self.before[number + 1][0], end - at)
                if stop == NULL or end - stop < self.size[number + 1] or memcmp(
                    stop, self.before[number + 1], self.size[number + 1]
                ) != 0:
                    return False
            begins[number], ends[number] = at, stop
            at = stop + self.size[number + 1]
        return at == end


cdef class Alike:
    """Hits with the same head and queue id."""

    cdef bytes before_at, before_pid, behind_pid
    cdef list templates  # the latest that was needed stands first


cdef class Composer:
    """As `composer.Composer`."""

    cdef object learn, client_of, again_of, pid_of, text_of, stamp_of, in_time, line_of, line_of_hit
    cdef Py_ssize_t longest_client, longest_body
    cdef dict alike, clients, again
    cdef char* buffer
    cdef Py_ssize_t size, room

    def __init__(self, texts):
        self.learn, self.client_of, self.again_of, self.pid_of = texts.learn, texts.client, texts.again, texts.pid
        self.text_of, self.stamp_of, self.in_time = texts.typed, texts.stamp, texts.in_time
        self.line_of, self.line_of_hit = texts.line, texts.line_of_hit
        self.longest_client, self.longest_body = texts.longest_client, texts.longest_body
        self.alike, self.clients, self.again = {}, {}, {}

    def __dealloc__(self):
        free(self.buffer)

    def of(self, list events):
        """The lines of some events."""
        cdef Hit hit
        cdef object one, moment = None
        cdef bytes at = b""
        cdef bint wanted = False
        self.size = 0
        for one in events:
            if type(one) is not Hit:
                self._add(<bytes>self.line_of(one))
                continue
            hit = <Hit>one
            if hit.moment is not moment:
                moment = hit.moment
                at, wanted = self.stamp_of(moment), self.in_time(moment.at)
            if wanted and not self._compose(hit, at):
                self._add(<bytes>self.line_of_hit(hit))
        return PyBytes_FromStringAndSize(self.buffer, self.size)

    cdef bint _compose(self, Hit hit, bytes at) except -1:
        """Write the line of a hit, unless it is not asked for; False where it cannot be put together."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(hit.tail)
        cdef const char* tail = PyBytes_AS_STRING(hit.tail)
        cdef const char* begins[MOST_HOLES]
        cdef const char* ends[MOST_HOLES]
        cdef Alike alike
        cdef Template template
        cdef int number
        if (
            PyBytes_GET_SIZE(hit.client) > self.longest_client
            or PyBytes_GET_SIZE(hit.queue_id) + PyBytes_GET_SIZE(hit.hits.head) + size + 2 > self.longest_body
        ):
            return False
        cdef object client = self.clients.get(hit.client, False)
        if client is False:
            if len(self.clients) >= MOST_CLIENTS:
                self.clients.clear()
            client = self.clients[hit.client] = self.client_of(hit.client)
        if client is None:
            return True
        alike = self._alike_of(hit)
        for number in range(len(alike.templates)):
            template = <Template>alike.templates[number]
            if template.fits(tail, tail + size, begins, ends):
                if number:
                    alike.templates.insert(0, alike.templates.pop(number))
                break
        else:
            template = self._learn(hit, alike)
            if template is None or not template.fits(tail, tail + size, begins, ends):
                return False
        if template.told.around is None:
            return True
        self._add(alike.before_at)
        self._add(at)
        self._add(alike.before_pid)
        self._add_pid(hit.pid)
        self._add(alike.behind_pid)
        self._add(<bytes>client)
        for number in range(template.texts):
            self._write(template.written[number], template.written_size[number])
            if template.hole[number] == AGAIN:
                self._add(self._again(hit))
            else:
                self._add_text(begins[template.hole[number]], ends[template.hole[number]])
        self._write(template.written[template.texts], template.written_size[template.texts])
        return True

    cdef bytes _again(self, Hit hit):
        """The fields that tell of the client again."""
        cdef tuple key = (hit.hits.form, hit.client)
        cdef object found = self.again.get(key)
        if found is None:
            if len(self.again) >= MOST_CLIENTS:
                self.again.clear()
            found = self.again[key] = self.again_of(hit)
        return <bytes>found

    cdef Alike _alike_of(self, Hit hit):
        cdef object key = hit.hits if PyBytes_GET_SIZE(hit.queue_id) == 0 else (hit.hits, hit.queue_id)
        cdef object found = self.alike.get(key)
        if found is not None:
            return <Alike>found
        if len(self.alike) >= MOST_ALIKE:
            self.alike.clear()
        cdef Alike alike = Alike.__new__(Alike)
        alike.templates = []
        self.alike[key] = alike
        return alike

    cdef Template _learn(self, Hit hit, Alike alike):
        """The template of a hit; None where its line cannot be put together."""
        told = self.learn(hit)
        if told is None:
            return None
        cdef Template template = Template(told)
        if told.around is not None:
            alike.before_at, alike.before_pid, alike.behind_pid = told.around
        if len(alike.templates) >= MOST_TEMPLATES:
            alike.templates.clear()
        alike.templates.insert(0, template)
        return template

    cdef int _add_pid(self, bytes pid) except -1:
        cdef Py_ssize_t number, size = PyBytes_GET_SIZE(pid)
        cdef const char* digits = PyBytes_AS_STRING(pid)
        if 0 < size <= LONGEST_PID and digits[0] != c"0":
            for number in range(size):
                if not c"0" <= digits[number] <= c"9":
                    break
            else:
                return self._write(digits, size)
        return self._add(<bytes>self.pid_of(pid))

    cdef int _add_text(self, const char* begin, const char* end) except -1:
        """A text as JSON has it."""
        cdef const char* at = begin
        if end - begin <= LONGEST_TEXT:
            while at < end and c" " <= at[0] <= c"~" and at[0] != c'"' and at[0] != c"\\":
                at += 1
        if at < end:
            return self._add(<bytes>self.text_of(PyBytes_FromStringAndSize(begin, end - begin)))
        self._write(b'"', 1)
        self._write(begin, end - begin)
        return self._write(b'"', 1)

    cdef int _add(self, bytes text) except -1:
        return self._write(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef inline int _write(self, const char* text, Py_ssize_t size) except -1:
        cdef char* buffer
        if self.size + size > self.room:
            buffer = <char*>realloc(self.buffer, 2 * (self.size + size) + 4096)
            if buffer == NULL:
                raise MemoryError
            self.buffer, self.room = buffer, 2 * (self.size + size) + 4096
        memcpy(self.buffer + self.size, text, size)
        self.size += size
        return 0
