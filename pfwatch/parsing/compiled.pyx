# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop over a block's lines, compiled: what `Scanner` does with plain lines.

Enters: blocks, and the plain forms of the rules with their `Pattern`s. Leaves: counts, rows, hits and what is
remembered of open connections and messages; every other line goes to whoever was named, in its turn. It must never know
a wording: all that it recognises was compiled from the rule tables, and whatever it does not recognise is read
elsewhere.

What lines bring about beyond a count happens through `Effects`: at once, or, in a `Recording`, when another process
lets it happen (`PlainReader.apply`).

Every line is read where it lies. Objects are made of what somebody keeps: a client that is remembered, a hit.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.set cimport PySet_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from pfwatch.parsing.hits cimport Hit, Hits
from pfwatch.sums cimport sum_of


cdef extern from "patterns.h":  # written by the build
    ctypedef unsigned char byte
    ctypedef int (*Fit)(const byte* at, const byte* end, const byte** marks, const byte** stop) noexcept
    struct Written:
        const char* pattern
        size_t size
        Fit fit
        int groups
        const char* names
        const byte* first
    const Written written[1]
    const size_t WRITTEN


cdef enum:
    MOST_MARKS = 26
    MOST_KEY = 4096  # bytes of all that tells a node from others
    LONGEST_KEY = 1000  # bytes of the groups that a line is counted by, as in `parsing.readings`
    MOST_NODES = 8192  # different counts; beyond, all are handed over and forgotten
    NODE_SLOTS = 16384
    MOST_ORIGINS = 1024
    ORIGIN_SLOTS = 2048
    RECENT_SLOTS = 256
    SHARED_SLOTS = 8192
    LONGEST_ORIGIN = 300  # bytes of host and tag that are looked up before they are read
    LONGEST_SHARED = 200  # bytes of a text of which one object is kept
    MOST_TEXT = 16  # bytes of a text that is counted by itself; longer ones are rare
    MOST_TEXTS = 3000  # so few that the table stays in the processor's cache
    TEXT_SLOTS = 4096

    SMALL_VOWELS = 1 << 1 | 1 << 5 | 1 << 9 | 1 << 15 | 1 << 21  # by their number in the alphabet

    PID_END = 3  # marks of what stands before a body
    QUEUE_END = 5

    # What is remembered of a line.
    NOTHING = 0
    CONNECT = 1
    DISCONNECT = 2
    CLIENT = 3
    REMOVED = 4

    COUNTED = 0
    HIT = 1
    EVENT = 2
    PART = 3

    # What stands in a recording.
    TIME = 1  # text: the time of what follows
    ORIGIN = 2  # text: host and tag that get the next number
    HEAD = 3  # origin, form, text: the next number for what hits have in common
    HIT_OF = 4  # head, number of a client
    SPOKE = 5  # origin, pid
    CONNECTED = 6  # origin, pid, client
    LEFT = 7  # origin, pid
    ACCEPTED = 8  # origin, queue id, form, client, account
    REMOVED_OF = 9  # origin, queue id
    READ = 10  # origin, pid, queue id, body and a line feed: a line that is to be read
    ODD = 11  # text: a line without the header of the others
    FAILED = 12  # origin, pid, number: as often did its client fail to log in since he connected
    WHO = 13  # text: a client that gets the next number
    LOGIN_OF = 14  # head, number of a client, pid: a hit that is one more failed login of the process
    RENEWED = 15  # origin, queue id: it belongs to another message from now on, which is gone in the same stretch

    # What is known, while recording, of a process or a message in the tables of who lets it happen.
    UNKNOWN = 0
    OPEN = 1  # it began in this stretch, and nothing of it was written down
    TOLD = 2  # that was written down
    CLOSED = 3  # it is in no table

    CLIENT_SLOTS = 4096
    MOST_CLIENTS = 2048  # clients that get a number in a stretch
    SERVING_SLOTS = 4096
    MOST_SERVING = 2048  # processes in a stretch of which something is known
    MAIL_SLOTS = 8192
    MOST_MAILS = 4096
    LONGEST_QUEUE_ID = 32

    LONGEST_MINUTE = 32
    NO_MINUTE = -1
    SIEVE = 4096  # slots
    MOST_SIEVED = 1024  # of so many that are known most slots are still empty

NOTES = {None: NOTHING, "connect": CONNECT, "disconnect": DISCONNECT, "client": CLIENT, "removed": REMOVED}


cdef class Pattern:
    """A pattern of the rule tables, as the build wrote it in C (`parsing.in_c`)."""

    cdef Fit fit
    cdef const byte* first
    cdef int count
    cdef readonly dict groups

    def __cinit__(self, bytes pattern):
        """Raises LookupError for one that was not in the tables when this was built, or has no steps."""
        cdef size_t number
        for number in range(WRITTEN):
            if written[number].size == <size_t>PyBytes_GET_SIZE(pattern) and memcmp(
                written[number].pattern, PyBytes_AS_STRING(pattern), written[number].size
            ) == 0:
                self.fit, self.first, self.count = written[number].fit, written[number].first, written[number].groups
                names = (<bytes>written[number].names).decode().split()
                self.groups = dict(zip(names[::2], map(int, names[1::2])))
                break
        else:
            raise LookupError(pattern)
        if 2 * self.count + 2 > MOST_MARKS:
            raise ValueError("too many groups")

    def match(self, bytes text):
        """The end of what fits at the beginning of a line and the spans of the groups, as `re` tells them; or None."""
        text += b"\n"
        cdef const byte* marks[MOST_MARKS]
        cdef const byte* begin = <const byte*>PyBytes_AS_STRING(text)
        cdef const byte* stop
        if not self.fit(begin, begin + PyBytes_GET_SIZE(text) - 1, marks, &stop):
            return None
        spans = []
        cdef int number
        for number in range(1, self.count + 1):
            if marks[2 * number + 1] == NULL:
                spans.append((-1, -1))
            else:
                spans.append((marks[2 * number] - begin, marks[2 * number + 1] - begin))
        return stop - begin, spans


cdef class PlainForm:
    """A plain form, and what to do with its lines."""

    cdef readonly object form
    cdef Pattern pattern
    cdef int key[13]
    cdef int spread[13]
    cdef int note, client, noted, keys, spreads
    cdef unsigned int place  # among the forms of its origin
    cdef bint failed_login, waits, explains, passed, alike
    cdef bytes queue_id
    cdef object judge, measure, hits

    def __init__(self, form, Pattern pattern, key, spread, *, judge, hits, measure, noted, queue_id, passed):
        """Lines are counted by the groups of `key`, and of those of `spread` each text. `judge` takes the former and
        tells whether the line is a hit (True), only counted (False) or an event (None); `hits` takes an origin and a
        head and makes what such hits share. `noted` is the group that is remembered, `measure` makes of it what is.
        `queue_id` stands before each such line; None: any, or none. `passed`: nothing is to be done.
        """
        self.form, self.pattern = form, pattern
        self.spreads = len(spread)
        for number, name in enumerate(spread):
            self.spread[number] = pattern.groups[name]
        self.keys = len(key)
        for number, name in enumerate(key):
            self.key[number] = pattern.groups[name]
        self.note = NOTES[form.rule.notes]
        self.client = pattern.groups.get("client", 0)
        self.noted = pattern.groups.get(noted, 0)
        self.failed_login, self.waits = form.plain.failed_login, form.plain.waits
        self.explains, self.passed, self.queue_id = form.plain.explains, passed, queue_id
        self.judge, self.measure, self.hits = judge, measure, hits
        self.alike = self.keys == 0 and self.note != DISCONNECT and hits is None  # all of an origin are one node


cdef class Origin:
    """A host and a tag, and the plain forms of the tag's program; `foreign`: of nobody who is read; `awaited`: somebody
    may wait for the next line of such a process. `begins` tells which bytes a body that matters can begin with: 1 for
    each, of 256; None: any.
    """

    cdef readonly bytes text, host, tag
    cdef readonly tuple identified, anonymous
    cdef tuple forms  # all of these
    cdef readonly bint foreign
    cdef bint awaited
    cdef bytes begins
    cdef const byte* first  # its bytes
    cdef bint has_pid  # such a line was seen
    cdef unsigned int number
    cdef byte starts[2][256]  # of those with a queue id, of others: by the first byte, from which form on one may fit
    cdef list nodes  # of forms whose lines are all alike
    cdef unsigned int age  # of the reader, when these were its nodes
    cdef uint64_t stretch  # in whose recording it has its place
    cdef unsigned int place

    def __init__(self, bytes text, bytes host, bytes tag, identified, anonymous, *, foreign, awaited, bytes begins):
        self.text, self.host, self.tag, self.awaited = text, host, tag, awaited
        self.identified, self.anonymous = tuple(identified), tuple(anonymous)
        self.forms = self.identified + self.anonymous
        cdef PlainForm form
        for form in self.forms:
            form.place = self.forms.index(form)
        self._find_starts(self.identified, self.starts[0])
        self._find_starts(self.anonymous, self.starts[1])
        self.foreign = foreign
        if begins is not None and len(begins) != 256:
            raise ValueError("a byte for each byte")
        self.begins = begins
        if begins is not None:
            self.first = <const byte*>PyBytes_AS_STRING(begins)

    cdef int _find_starts(self, tuple forms, byte* starts) except -1:
        cdef int value, place
        cdef PlainForm form
        memset(starts, len(forms), 256)
        for place in reversed(range(len(forms))):
            form = <PlainForm>forms[place]
            for value in range(256):
                if form.pattern.first[value]:
                    starts[value] = place


cdef inline bint follows(Origin origin, const byte* at, const byte* end) noexcept:
    """Whether this origin stands here, followed by a pid: as it was before, so its pattern would end there again."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(origin.text)
    return end - at > size and at[size] == c"[" and memcmp(at, PyBytes_AS_STRING(origin.text), size) == 0


cdef inline size_t recent_slot(const byte* tag, const byte* end) noexcept:
    """A slot for what stands here, mostly `postfix/` and a daemon: the same for the same letters behind these."""
    cdef uint64_t word
    if end - tag < 16:
        return 0
    memcpy(&word, tag + 8, 8)
    return ((word & <uint64_t>0xFFFFFFFFFFFF) * <uint64_t>0x9E3779B97F4A7C15) >> 56


cdef inline const byte* begin_of(bytes text) noexcept:
    return <const byte*>PyBytes_AS_STRING(text)


cdef inline const byte* end_of(bytes text) noexcept:
    return begin_of(text) + PyBytes_GET_SIZE(text)


cdef inline bint is_text(bytes text, const byte* begin, const byte* end) noexcept:
    return end - begin == PyBytes_GET_SIZE(text) and memcmp(begin, PyBytes_AS_STRING(text), end - begin) == 0


cdef inline bint is_digit(byte one) noexcept:
    return c"0" <= one <= c"9"


cdef inline bint is_letter(byte one) noexcept:
    return c"a" <= (one | 32) <= c"z"


cdef inline bint may_be_in_id(byte one) noexcept:
    """Letters but small vowels, which no queue id has and nearly every word begins with soon."""
    return is_letter(one) and not (<unsigned int>1 << (one & 31) & SMALL_VOWELS and one & 32)


cdef inline bint passes(Origin origin, const byte* at, const byte* watched) noexcept:
    """Whether a line does not matter whose tag ends here, as far as a glance tells.

    Behind a pid in brackets stands a body, whatever it is. Where somebody waits for a process, its lines matter: these
    are among the pids that `watched` tells of; NULL where nobody waits.
    """
    cdef const byte* begins = origin.first
    if begins == NULL and not origin.foreign:
        return False
    if at[0] != c"[" or not is_digit(at[1]):
        return False
    at += 2
    while is_digit(at[0]):
        at += 1
    if at[0] != c"]" or at[1] != c":":
        return False
    if origin.foreign:
        return True
    if watched != NULL and watched[slot_of(at)]:
        return False
    at += 2
    if at[0] == c" ":
        at += 1
    if begins[at[0]]:
        return False
    while is_digit(at[0]) or may_be_in_id(at[0]):  # a queue id, or else the beginning of a word
        at += 1
    return at[0] != c":" or (at[1] == c" " and not begins[at[2]])  # it begins with that word, or behind it


cdef class Node:
    """Lines that are counted together."""

    cdef bytes text
    cdef readonly PlainForm form
    cdef readonly tuple key
    cdef readonly long long count
    cdef unsigned short number
    cdef int verdict
    cdef object noted
    cdef Hits hits
    cdef list spread
    cdef uint64_t stretch  # in whose recording it has its place
    cdef unsigned int place

    @property
    def is_hit(self):
        """Whether each of them is a hit."""
        return self.verdict == HIT


cdef struct Slot:
    uint64_t sum
    PyObject* what


cdef struct Text:
    # How often a text stood in a group that is spread.
    unsigned int count
    unsigned short node  # its number among those that are known
    unsigned char place, size
    byte text[MOST_TEXT]


cdef inline bytes text_of(const byte* begin, const byte* end):
    return PyBytes_FromStringAndSize(<const char*>begin, end - begin)


cdef class PlainReader:
    """Reads blocks of one source."""

    cdef object learn, not_plain, make_room, read_time, read_minute
    cdef Slot* nodes
    cdef Slot* origins
    cdef PyObject* recent[RECENT_SLOTS]
    """Origins of lines before, each followed by its pid: by what stands behind the host."""
    cdef size_t behind_host
    """Bytes from the host to what stands behind it, in the line with the latest of these."""
    cdef Text* texts
    cdef int known_texts
    cdef Slot* shared
    cdef readonly list known_nodes
    """Every `Node`, with its count so far."""
    cdef list known_origins
    cdef dict known_heads
    cdef Effects effects  # while lines are read
    cdef uint64_t seed
    cdef unsigned int numbers, age

    def __cinit__(self, learn, not_plain, make_room, times):
        """`learn` makes the `Origin` of a text; `not_plain` reads a line that is not plain, out of its pieces, the
        block and its number; `make_room` takes the counts; `times` is the `TimeReader`.
        """
        self.learn, self.not_plain, self.make_room = learn, not_plain, make_room
        self.read_time, self.read_minute = times.read, times.minute
        self.nodes = <Slot*>calloc(NODE_SLOTS, sizeof(Slot))
        self.origins = <Slot*>calloc(ORIGIN_SLOTS, sizeof(Slot))
        self.texts = <Text*>calloc(TEXT_SLOTS, sizeof(Text))
        self.shared = <Slot*>calloc(SHARED_SLOTS, sizeof(Slot))
        if self.nodes == NULL or self.origins == NULL or self.texts == NULL or self.shared == NULL:
            raise MemoryError
        self.known_nodes, self.known_origins, self.known_heads = [], [], {}
        self.seed = <uint64_t>(hash("pfwatch") & 0x7FFFFFFFFFFFFFFF)  # another one in every process

    def __dealloc__(self):
        cdef int slot
        if self.shared != NULL:
            for slot in range(SHARED_SLOTS):
                Py_XDECREF(self.shared[slot].what)
        free(self.shared)
        free(self.nodes)
        free(self.origins)
        free(self.texts)

    def forget(self):
        """Forget every node and origin, when their counts were taken."""
        if self.effects is not None:
            self.effects.tell_all()
        memset(self.nodes, 0, NODE_SLOTS * sizeof(Slot))
        memset(self.origins, 0, ORIGIN_SLOTS * sizeof(Slot))
        self.age += 1
        memset(self.recent, 0, sizeof(self.recent))
        self.known_nodes.clear()
        self.known_origins.clear()
        self.known_heads.clear()

    def take(self):
        """The nodes with a count, which begins anew: node, count, and for each group that is spread its texts with
        their counts.
        """
        self._empty_texts()
        taken = []
        cdef Node node
        for node in self.known_nodes:
            if node.count:
                taken.append((node, node.count, tuple(node.spread) if node.spread else None))
                node.count, node.spread = 0, None
        return taken

    cdef bytes _text(self, const byte* begin, const byte* end):
        """A text that is likely to come again, such as a client: the same object then, whose hash is known."""
        cdef size_t size = end - begin
        if size > LONGEST_SHARED:
            return text_of(begin, end)
        cdef uint64_t total = sum_of(begin, size, self.seed)
        cdef Slot* slot = &self.shared[total & (SHARED_SLOTS - 1)]
        cdef bytes text
        if slot.what != NULL and slot.sum == total:
            text = <bytes>slot.what
            if PyBytes_GET_SIZE(text) == <Py_ssize_t>size and memcmp(PyBytes_AS_STRING(text), begin, size) == 0:
                return text
        text = text_of(begin, end)
        Py_XDECREF(slot.what)
        Py_INCREF(text)
        slot.sum, slot.what = total, <PyObject*>text
        return text

    cdef _count_text(self, Node node, int place, const byte* begin, const byte* end):
        """Count a text of the node's group with this place among those that are spread."""
        cdef size_t size = end - begin
        if size > MOST_TEXT:
            add_text(node, place, text_of(begin, end), 1)
            return
        cdef size_t slot = sum_of(begin, size, self.seed ^ <uint64_t>(16 * node.number + place)) & (TEXT_SLOTS - 1)
        cdef Text* text = &self.texts[slot]
        while text.count:
            if text.node == node.number and text.place == place and text.size == size and memcmp(
                text.text, begin, size
            ) == 0:
                text.count += 1
                return
            slot = (slot + 1) & (TEXT_SLOTS - 1)
            text = &self.texts[slot]
        text.node, text.count, text.place, text.size = node.number, 1, place, size
        memcpy(text.text, begin, size)
        self.known_texts += 1
        if self.known_texts >= MOST_TEXTS:
            self._empty_texts()

    cdef _empty_texts(self):
        """Give every text to its node."""
        cdef int slot
        cdef Text* text
        if self.known_texts:
            for slot in range(TEXT_SLOTS):
                text = &self.texts[slot]
                if text.count:
                    add_text(<Node>self.known_nodes[text.node], text.place, text_of(text.text, text.text + text.size), text.count)
            memset(self.texts, 0, TEXT_SLOTS * sizeof(Text))
            self.known_texts = 0

    cdef Origin _known_origin(self, const byte* begin, size_t size):
        """The origin with this text, where such a line was seen with a pid behind it."""
        cdef uint64_t total = sum_of(begin, size, self.seed)
        cdef Slot* slot = &self.origins[total & (ORIGIN_SLOTS - 1)]
        if slot.what == NULL or slot.sum != total:  # it may stand elsewhere, and is found then in the other way
            return None
        cdef Origin origin = <Origin>slot.what
        if not origin.has_pid or PyBytes_GET_SIZE(origin.text) != <Py_ssize_t>size or memcmp(
            PyBytes_AS_STRING(origin.text), begin, size
        ) != 0:
            return None
        return origin

    cdef Origin _origin(self, const byte* begin, size_t size):
        cdef uint64_t total = sum_of(begin, size, self.seed)
        cdef size_t place = total & (ORIGIN_SLOTS - 1)
        cdef Origin origin
        while self.origins[place].what != NULL:
            if self.origins[place].sum == total:
                origin = <Origin>self.origins[place].what
                if PyBytes_GET_SIZE(origin.text) == <Py_ssize_t>size and memcmp(
                    PyBytes_AS_STRING(origin.text), begin, size
                ) == 0:
                    return origin
            place = (place + 1) & (ORIGIN_SLOTS - 1)
        if len(self.known_origins) >= MOST_ORIGINS:
            self.make_room()
            self.forget()
            place = total & (ORIGIN_SLOTS - 1)
        origin = self.learn(text_of(begin, begin + size))
        self.numbers += 1
        origin.number = self.numbers
        self.known_origins.append(origin)
        self.origins[place].sum, self.origins[place].what = total, <PyObject*>origin
        return origin

    cdef Node _only_node(self, Origin origin, PlainForm form, const byte** marks, const byte* body):
        """The node of a line whose form has one for each origin."""
        cdef Node node
        if origin.nodes is None or origin.age != self.age:
            origin.nodes, origin.age = [None] * len(origin.forms), self.age
        node = <Node>origin.nodes[form.place]
        if node is None:
            node = self._node(origin, form, marks, body)
            if origin.age == self.age:  # none was forgotten for it
                origin.nodes[form.place] = node
        return node

    cdef Node _node(self, Origin origin, PlainForm form, const byte** marks, const byte* body):
        """The node of a line; None where its key is too long to be kept."""
        cdef byte text[MOST_KEY]
        cdef size_t size = sizeof(unsigned int) + sizeof(void*)
        cdef size_t key_size = 0
        cdef const byte* begin
        cdef const byte* end
        cdef int number, group
        cdef void* which = <void*>form
        memcpy(text, &origin.number, sizeof(unsigned int))
        memcpy(text + sizeof(unsigned int), &which, sizeof(void*))
        for number in range(form.keys + 2):
            if number < form.keys:
                begin, end = marks[2 * form.key[number]], marks[2 * form.key[number] + 1]
                if end != NULL:
                    key_size += end - begin
            elif number == form.keys:
                if form.note != DISCONNECT:
                    continue
                begin, end = marks[2 * form.noted], marks[2 * form.noted + 1]
            else:
                if form.hits is None:
                    continue
                begin, end = body, marks[2 * form.client] if form.client else body
            if end == NULL:
                begin = end = body  # no such group: told from an empty one by its size
                group = 0
            else:
                group = <int>(end - begin) + 1
            if key_size > LONGEST_KEY or size + sizeof(int) + (end - begin) > MOST_KEY:
                return None
            memcpy(text + size, &group, sizeof(int))
            size += sizeof(int)
            memcpy(text + size, begin, end - begin)
            size += end - begin
        cdef uint64_t total = sum_of(text, size, self.seed)
        cdef size_t place = total & (NODE_SLOTS - 1)
        cdef Node node
        while self.nodes[place].what != NULL:
            if self.nodes[place].sum == total:
                node = <Node>self.nodes[place].what
                if PyBytes_GET_SIZE(node.text) == <Py_ssize_t>size and memcmp(
                    PyBytes_AS_STRING(node.text), text, size
                ) == 0:
                    return node
            place = (place + 1) & (NODE_SLOTS - 1)
        if len(self.known_nodes) >= MOST_NODES:
            self.make_room()
            self.forget()
            place = total & (NODE_SLOTS - 1)
        node = self._new_node(origin, form, marks, body)
        node.text = text_of(text, text + size)
        node.number = len(self.known_nodes)
        self.known_nodes.append(node)
        self.nodes[place].sum, self.nodes[place].what = total, <PyObject*>node
        return node

    cdef Node _new_node(self, Origin origin, PlainForm form, const byte** marks, const byte* body):
        cdef Node node = Node.__new__(Node)
        cdef int number
        fields = [group(marks, form.key[number]) for number in range(form.keys)]
        node.form, node.key = form, (origin.tag, *fields)
        if form.note == DISCONNECT:
            node.noted = form.measure(group(marks, form.noted))
        if form.judge is not None:
            verdict = form.judge(*fields)
            node.verdict = EVENT if verdict is None else HIT if verdict else COUNTED
        elif form.hits is not None:
            node.verdict = HIT
        if form.hits is not None:
            node.hits = form.hits(origin, text_of(body, marks[2 * form.client] if form.client else body))
        return node

    def read(self, bytes block, Pattern begin, Pattern tagged, Pattern behind, Effects effects, bint picky):
        """Read a block of lines, each with its line feed; `begin` is the pattern of a header up
        to the host, with the time as its group, `tagged` that of host and tag, `behind` that of pid and queue id.
        With `picky`, lines that do not matter are passed over, and whoever waits is told the time by each of them.

        Gives how many lines there are, how many of them are hits, nobody's, not plain, and parts of other events.
        """
        if len(block) < 1 or block[len(block) - 1] != c"\n":
            raise ValueError("a block has a line feed behind each line")
        cdef const byte* line = <const byte*>PyBytes_AS_STRING(block)
        cdef const byte* end = line + PyBytes_GET_SIZE(block) - 1
        cdef const byte* line_end
        cdef const byte* body
        cdef const byte* stop
        cdef const byte* known = NULL  # the beginning of the latest line up to its host
        cdef size_t known_size = 0
        cdef const byte* header[MOST_MARKS]
        cdef Origin origin
        cdef PyObject** recent
        cdef Py_ssize_t number = 0
        cdef Py_ssize_t hits = 0, foreign = 0, others = 0, parts = 0
        cdef bint passed
        cdef int became
        cdef set watch = effects.watch
        cdef tuple process
        cdef bint waited, watch_changed = True
        cdef byte watched[256]  # 1 for each slot in which a pid may be that is watched
        effects.begin(self)
        while True:
            line_end = <const byte*>memchr(line, c"\n", end - line) if line < end else NULL
            if line_end == NULL:
                line_end = end
            passed = False
            origin = None
            waited = picky and PySet_GET_SIZE(watch) > 0
            if waited and watch_changed:
                watch_changed = False
                note_pids(watch, watched)
            stop = line + known_size
            if known == NULL or <size_t>(line_end - line) < known_size or memcmp(line, known, known_size) != 0:
                known = NULL
                if begin.fit(line, line_end, header, &stop):
                    known, known_size = line, stop - line
                    effects.set_time(header[2], header[3])
            if known != NULL:
                recent = &self.recent[recent_slot(stop + self.behind_host, line_end)]
                if recent[0] != NULL and follows(<Origin>recent[0], stop, line_end):
                    origin = <Origin>recent[0]
                    body = stop + PyBytes_GET_SIZE(origin.text)
                else:
                    body = <const byte*>memchr(stop, c"[", min(line_end - stop, LONGEST_ORIGIN))
                    if body != NULL:
                        origin = self._known_origin(stop, body - stop)
                    if origin is None and tagged.fit(stop, line_end, header, &body):
                        origin = self._origin(stop, body - stop)
                        if body < line_end and body[0] == c"[":
                            origin.has_pid = True
                    if origin is not None and origin.has_pid:
                        self.behind_host = PyBytes_GET_SIZE(origin.host) + 1
                        self.recent[recent_slot(stop + self.behind_host, line_end)] = <PyObject*>origin
                if origin is not None and not (picky and passes(origin, body, watched if waited else NULL)):
                    if not behind.fit(body, line_end, header, &body):
                        origin = None
                elif origin is not None:
                    header[PID_END] = header[QUEUE_END] = NULL
                    passed = True
            if waited and origin is not None:
                if not origin.foreign and header[PID_END] != NULL and watched[slot_of(header[PID_END])]:
                    process = (origin.host, origin.tag, self._text(header[PID_END - 1], header[PID_END]))
                    if process in watch:
                        effects.listener.spoke(
                            process, text_of(body if header[QUEUE_END] == NULL else header[QUEUE_END - 1], line_end)
                        )
                        watch_changed = True
                if effects.exists and effects.is_now() and effects.at != effects.ticked:
                    effects.listener.tick(effects.at)
                    effects.ticked, watch_changed = effects.at, True
            if origin is None:
                others += 1
                if not effects.other(line, line_end, block, number):
                    others -= 1
                    break
                watch_changed = True  # something else may wait now
            elif passed or origin.foreign:
                foreign += 1
            elif origin.first != NULL and not origin.first[body[0]]:
                foreign += 1
            else:
                became = self._read_plain(effects, origin, header, body, line_end)
                if became == HIT:
                    hits += 1
                    watch_changed = watch_changed or effects.waited
                elif became == PART:
                    parts += 1
                elif became == EVENT:
                    others += 1
                    effects.not_plain(origin, header, body, line_end, block, number)
                    watch_changed = True
            number += 1
            if line_end >= end:
                break
            line = line_end + 1
        effects.end()
        return number, hits, foreign, others, parts

    cdef int _read_plain(
        self, Effects effects, Origin origin, const byte** header, const byte* body, const byte* line_end
    ) except -1:
        """Read a line from its body on; tell whether it was COUNTED, is a HIT, PART of one, or an EVENT: not plain."""
        cdef const byte* marks[MOST_MARKS]
        cdef const byte* stop
        cdef const byte* client
        cdef const byte* client_end
        cdef PlainForm form = None
        cdef Node node
        cdef bint anonymous = header[QUEUE_END] == NULL
        cdef tuple forms = origin.anonymous if anonymous else origin.identified
        cdef Py_ssize_t place
        if header[PID_END] == NULL or not effects.exists:
            return EVENT
        for place in range(origin.starts[anonymous][body[0]], len(forms)):  # there is one: a line feed at least
            form = <PlainForm>forms[place]
            if form.queue_id is not None and not is_text(form.queue_id, header[QUEUE_END - 1], header[QUEUE_END]):
                continue
            if form.pattern.fit(body, line_end, marks, &stop):
                break
        else:
            return EVENT
        if form.passed:
            return COUNTED
        if form.explains:  # a process that waits, waits on
            return PART if effects.explained(origin, header, marks[2 * form.noted], line_end) else EVENT
        if form.waits and not effects.may_wait:
            return EVENT
        effects.spoke(origin, header, body, line_end)
        node = self._only_node(origin, form, marks, body) if form.alike else self._node(origin, form, marks, body)
        if node is None:
            return EVENT
        if form.judge is not None or form.hits is not None:
            client, client_end = body, body
            if form.client:
                client, client_end = marks[2 * form.client], marks[2 * form.client + 1]
            if node.verdict == HIT and not effects.hit(origin, node, header, client, client_end, line_end):
                return EVENT
            if node.verdict != EVENT:
                node.count += 1
            return node.verdict
        if form.note == NOTHING:
            for place in range(form.spreads):
                self._count_text(node, place, marks[2 * form.spread[place]], marks[2 * form.spread[place] + 1])
        elif form.note == CONNECT:
            effects.connected(origin, header, marks[2 * form.client], marks[2 * form.client + 1])
        elif form.note == DISCONNECT:
            if not effects.left(origin, header, node.noted):
                return EVENT
        elif form.note == CLIENT:
            effects.accepted(
                origin, form, header, marks[2 * form.client], marks[2 * form.client + 1],
                marks[2 * form.noted] if form.noted else NULL, marks[2 * form.noted + 1] if form.noted else NULL,
            )
        else:
            effects.removed(origin, header[QUEUE_END - 1], header[QUEUE_END])
        node.count += 1
        return COUNTED

    def apply(self, bytes recorded, Effects effects):
        """Let happen what a `Recording` of the same grammar holds. Gives how many lines are read here for that, how many
        of these are hits, not plain, and parts of other events.
        """
        cdef const byte* at = <const byte*>PyBytes_AS_STRING(recorded)
        cdef const byte* end = at + PyBytes_GET_SIZE(recorded)
        cdef const byte* header[MOST_MARKS]
        cdef list origins = [], heads = [], clients = [], latest_hits = []
        cdef Hit hit
        cdef Origin origin
        cdef PlainForm form
        cdef Hits head
        cdef Py_ssize_t lines = 0, hits = 0, others = 0, parts = 0
        cdef byte what
        cdef int became
        cdef Part one, two, three
        cdef bint with_id
        cdef unsigned int number
        effects.begin(self)
        effects.begin_sieving()
        memset(header, 0, sizeof(header))
        while at < end:
            what, at = at[0], at + 1
            if what == TIME:
                at = read_part(at, &one)
                effects.set_time(one.begin, one.end)
                continue
            if what == ODD:
                at = read_part(at, &one)
                lines, others = lines + 1, others + 1
                effects.other(one.begin, one.end, None, 0)
                continue
            if what == ORIGIN:
                at = read_part(at, &one)
                origins.append(self._origin(one.begin, one.end - one.begin))
                continue
            if what == WHO:
                at = read_part(at, &one)
                clients.append(self._text(one.begin, one.end))
                latest_hits.append(None)
                continue
            at = read_number(at, &number)
            if what == HEAD:
                origin = <Origin>origins[number]
                at = read_part(read_number(at, &number), &one)
                form = <PlainForm>origin.forms[number]
                heads.append(self._head(origin, form, text_of(one.begin, one.end)))
                continue
            if what == HIT_OF or what == LOGIN_OF:
                head = <Hits>heads[number]
                at = read_number(at, &number)
                hit = <Hit>latest_hits[number]  # attackers come many times a second
                if hit is not None and hit.hits is head and effects.now and effects.at == hit.at:
                    effects.let_time_pass()
                    effects.finished.append(hit)
                else:
                    latest_hits[number] = effects.hit_of(head, <bytes>clients[number])
                if what == LOGIN_OF:
                    at = read_part(at, &one)
                    effects.failed_login(head.host, head.tag, self._text(one.begin, one.end))
                continue
            origin = <Origin>origins[number]
            at = read_part(at, &one)
            if what == READ:
                header[PID_END - 1], header[PID_END] = one.begin, one.end
                at = read_part(read_part(at, &two), &three)
                header[QUEUE_END - 1], header[QUEUE_END] = two.begin, two.end
                at += 1  # behind the line feed
                lines += 1
                became = self._read_plain(effects, origin, header, three.begin, three.end)
                if became == HIT:
                    hits += 1
                elif became == PART:
                    parts += 1
                elif became == EVENT:
                    others += 1
                    effects.not_plain(origin, header, three.begin, three.end, None, 0)
                continue
            header[PID_END - 1], header[PID_END] = one.begin, one.end
            if what == SPOKE:
                effects.spoke(origin, header, one.end, one.end)
            elif what == CONNECTED:
                at = read_part(at, &two)
                effects.connected(origin, header, two.begin, two.end)
            elif what == LEFT:
                effects.left(origin, header, 0)
            elif what == FAILED:
                at = read_number(at, &number)
                effects.failed_before(origin, header, number)
            elif what == ACCEPTED:
                at = read_part(read_part(read_number(at, &number), &two), &three)
                form = <PlainForm>origin.forms[number]
                header[QUEUE_END - 1], header[QUEUE_END] = one.begin, one.end
                effects.accepted(origin, form, header, two.begin, two.end, three.begin, three.end)
            elif what == RENEWED:
                effects.renewed(origin, one.begin, one.end)
            else:  # REMOVED_OF
                effects.removed(origin, one.begin, one.end)
        effects.end()
        return lines, hits, others, parts

    cdef Hits _head(self, Origin origin, PlainForm form, bytes head):
        """What hits have in common, the same object for the same."""
        key = (origin, form, head)
        found = self.known_heads.get(key)
        if found is None:
            if len(self.known_heads) >= MOST_NODES:
                self.known_heads.clear()
            found = self.known_heads[key] = form.hits(origin, head)
        return found


cdef class Effects:
    """What lines bring about beyond a count: at once, in the tables of whoever listens, and as hits."""

    cdef PlainReader reader
    cdef object listener, reused
    cdef set watch
    cdef list finished, processes, left_processes, message_keys
    cdef dict clients, failures, messages
    cdef Py_ssize_t most_clients, most_failures, most_messages
    cdef bint keep, bare
    cdef bint may_wait, waited  # whether hits may that are not complete yet, and whether the latest does
    cdef const byte* time  # of the latest line, as it stands there
    cdef const byte* time_end
    cdef bytes time_text, day
    cdef object moment
    cdef bint exists, now  # whether there is such a day, and whether `at` is that time
    cdef double at, ticked
    cdef byte minute[LONGEST_MINUTE]
    cdef size_t minute_size
    cdef int64_t minute_begin  # microseconds since the epoch; NO_MINUTE where it is not read alike throughout
    # While a recording is let happen, which tells much that is nothing to anybody: 1 for each slot of a pid or queue id
    # of which something is known. A look here costs a tenth of one into the tables.
    cdef bint sieving
    cdef byte processes_known[SIEVE]
    cdef byte messages_known[SIEVE]

    def __init__(self, listener, *, bint bare):
        """Hits are `bare` where nobody wants to know more of them than who and when."""
        self.listener, self.bare, self.may_wait = listener, bare, True
        self.clients, self.most_clients = listener.clients.rows, listener.clients.limit
        self.failures, self.most_failures = listener.failures.rows, listener.failures.limit
        self.messages, self.most_messages = listener.messages.rows, listener.messages.limit
        self.keep, self.watch = listener.clients.keep, listener.watch
        self.finished, self.reused = listener.finished, listener.reused
        self.processes, self.left_processes, self.message_keys = [], [], []  # whose rows were changed

    cdef int begin(self, PlainReader reader) except -1:
        """Lines of this reader follow."""
        self.reader, reader.effects = reader, self
        self.time = self.time_end = NULL
        self.time_text, self.day, self.moment = b"", b"", None
        self.exists = self.now = False
        self.at, self.ticked = 0, -1
        self.minute_size = 0

    cdef int begin_sieving(self) except -1:
        """What follows, up to the end, is a recording."""
        cdef bytes text
        self.sieving = True
        memset(self.processes_known, 0, SIEVE)
        memset(self.messages_known, 0, SIEVE)
        if len(self.clients) + len(self.failures) + len(self.watch) + len(self.messages) > MOST_SIEVED or self.reused:
            self.sieve_no_more()
            return 0
        for processes in (self.clients, self.failures, self.watch):
            for _, _, text in processes:
                self.know(self.processes_known, begin_of(text), end_of(text))
        for _, text in self.messages:
            self.know(self.messages_known, begin_of(text), end_of(text))

    cdef void know(self, byte* sieve, const byte* begin, const byte* end) noexcept:
        if self.sieving:
            sieve[sum_of(begin, end - begin, self.reader.seed) & (SIEVE - 1)] = 1

    cdef bint is_unknown(self, const byte* sieve, const byte* begin, const byte* end) noexcept:
        """Whether the tables surely hold nothing of a process, or of a message."""
        return self.sieving and not sieve[sum_of(begin, end - begin, self.reader.seed) & (SIEVE - 1)]

    cdef int sieve_no_more(self) except -1:
        """Somebody else may have put anything into the tables."""
        if self.sieving:
            memset(self.processes_known, 1, SIEVE)
            memset(self.messages_known, 1, SIEVE)

    cdef int tell_all(self) except -1:
        """Origins are forgotten now."""

    cdef int end(self) except -1:
        """They were all read."""
        self.reader.effects, self.sieving = None, False
        if self.keep:
            self.listener.clients.touch(self.processes)
            self.listener.failures.touch(self.processes)
            self.listener.failures.touch(self.left_processes)
            self.listener.messages.touch(self.message_keys)

    cdef int set_time(self, const byte* begin, const byte* end) except -1:
        """The following lines are of this time."""
        cdef Py_ssize_t size = min(end - begin, 10)
        self.time, self.time_end = begin, end
        self.time_text, self.moment, self.now = None, None, False
        if PyBytes_GET_SIZE(self.day) != size or memcmp(PyBytes_AS_STRING(self.day), begin, size) != 0:
            self.day = text_of(begin, begin + size)  # or hour: the patterns know only times of a day that exist
            self.exists = self.is_now()

    cdef bytes latest(self):
        """The time of the latest line as it stands there."""
        if self.time_text is None:
            self.time_text = text_of(self.time, self.time_end)
        return self.time_text

    cdef object full_moment(self):
        """The moment of the latest line; None where its time cannot be read."""
        if self.moment is None:
            self.moment = self.reader.read_time(self.latest())
        return self.moment

    cdef bint is_now(self) except -1:
        """Whether the time of the latest line can be read; `at` is it."""
        if self.now:
            return True
        if self._within_minute():
            self.now = True
        elif self.full_moment() is not None:
            self.at, self.now = self.moment[0], True
        return self.now

    cdef bint _within_minute(self) except -1:
        """Read the time out of its minute: a busy log has many in each. Only the two usual forms."""
        cdef const byte* at = self.time
        cdef const byte* second
        cdef const byte* zone
        cdef size_t size = self.time_end - at, head, tail
        cdef int64_t microseconds
        cdef int scale = 100000
        cdef byte text[LONGEST_MINUTE]
        if size >= 15 and at[3] == c" " and at[12] == c":":
            second = at + 13
        elif size >= 20 and at[4] == c"-" and at[10] == c"T" and at[16] == c":":
            second = at + 17
        else:
            return False
        if not (is_digit(second[0]) and is_digit(second[1]) and second[0] < c"6"):
            return False
        microseconds = (10 * (second[0] - c"0") + (second[1] - c"0")) * 1000000
        zone = second + 2
        if zone < self.time_end and (zone[0] == c"." or zone[0] == c","):
            zone += 1
            while zone < self.time_end and is_digit(zone[0]):
                microseconds += scale * (zone[0] - c"0")
                scale //= 10
                zone += 1
        head, tail = second - at, self.time_end - zone
        if head + tail + 2 > LONGEST_MINUTE:
            return False
        memcpy(text, at, head)
        text[head] = text[head + 1] = c"0"
        memcpy(text + head + 2, zone, tail)
        size = head + 2 + tail
        if self.minute_size != size or memcmp(self.minute, text, size) != 0:
            memcpy(self.minute, text, size)
            self.minute_size = size
            minute = self.reader.read_minute(text_of(text, text + size))
            self.minute_begin = NO_MINUTE if minute is None else <int64_t>minute * 1000000
        if self.minute_begin == NO_MINUTE:
            return False
        self.at = <double>(self.minute_begin + microseconds) / 1e6
        return True

    cdef tuple process(self, Origin origin, const byte** header):
        return origin.host, origin.tag, self.reader._text(header[PID_END - 1], header[PID_END])

    cdef int spoke(self, Origin origin, const byte** header, const byte* body, const byte* line_end) except -1:
        """A process wrote a plain line."""
        cdef tuple process
        if self.watch and not self.is_unknown(self.processes_known, header[PID_END - 1], header[PID_END]):
            process = self.process(origin, header)
            if process in self.watch:
                self.listener.spoke(process, text_of(body, line_end))

    cdef bint hit(
        self, Origin origin, Node node, const byte** header, const byte* client, const byte* client_end, const byte* line_end
    ) except -1:
        """A line of this node is a hit; tell whether it can be."""
        cdef Hit hit
        if not self.is_now():
            return False
        self.waited = node.form.waits
        if self.waited:
            self.let_time_pass()
            hit = self.new_hit(node.hits, self.reader._text(client, client_end))
            if not self.bare:
                self.fill(hit, header, client_end, line_end)
            self.listener.failed(hit, self.process(origin, header))
            self.know(self.processes_known, header[PID_END - 1], header[PID_END])
            return True
        hit = self.hit_of(node.hits, self.reader._text(client, client_end))
        if not self.bare:
            self.fill(hit, header, client_end, line_end)
        if node.form.failed_login:
            self.failed_login(origin.host, origin.tag, self.reader._text(header[PID_END - 1], header[PID_END]))
        return True

    cdef int fill(self, Hit hit, const byte** header, const byte* client_end, const byte* line_end) except -1:
        """Say of a hit what else there is to be said."""
        hit.moment = self.full_moment()
        hit.pid = self.reader._text(header[PID_END - 1], header[PID_END])
        if header[QUEUE_END] != NULL:
            hit.queue_id = self.reader._text(header[QUEUE_END - 1], header[QUEUE_END])
        hit.time, hit.tail = self.latest(), self.reader._text(client_end, line_end)

    cdef int let_time_pass(self) except -1:
        """Close what waited long enough."""
        if self.watch and self.at != self.ticked:
            self.listener.tick(self.at)
            self.ticked = self.at

    cdef Hit hit_of(self, Hits hits, bytes client):
        """A hit, of which only who and when is known."""
        cdef Hit hit
        if not self.is_now():
            raise ValueError(f"no time: {self.latest()!r}")
        self.let_time_pass()
        hit = self.new_hit(hits, client)
        self.finished.append(hit)
        return hit

    cdef Hit new_hit(self, Hits hits, bytes client):
        cdef Hit hit = Hit.__new__(Hit)
        hit.hits, hit.moment, hit.at = hits, None, self.at
        hit.client = client
        hit.time = hit.pid = hit.queue_id = hit.tail = b""
        return hit

    cdef bint explained(self, Origin origin, const byte** header, const byte* words, const byte* line_end) except -1:
        """The library said something; tell whether it is about a failure that waits."""
        if not self.watch or not self.is_now():
            return False
        self.let_time_pass()
        if self.is_unknown(self.processes_known, header[PID_END - 1], header[PID_END]):
            return False
        return self.listener.explained(self.process(origin, header), text_of(words, line_end))

    cdef int failed_login(self, bytes host, bytes tag, bytes pid) except -1:
        """The client that a process serves failed to log in."""
        cdef tuple process = (host, tag, pid)
        self.know(self.processes_known, begin_of(pid), end_of(pid))
        times = self.failures.get(process, 0)
        if times == 0 and len(self.failures) >= self.most_failures:
            self.listener.failures.make_room()
        self.failures[process] = times + 1
        if self.keep:
            self.left_processes.append(process)

    cdef int failed_before(self, Origin origin, const byte** header, unsigned int times) except -1:
        """The client that a process serves, as was told just now, had failed so often to log in."""
        cdef tuple process = self.process(origin, header)
        if len(self.failures) >= self.most_failures:
            self.listener.failures.make_room()
        self.failures[process] = times

    cdef int connected(self, Origin origin, const byte** header, const byte* client, const byte* client_end) except -1:
        """A process serves a client."""
        cdef tuple process = self.process(origin, header)
        self.know(self.processes_known, header[PID_END - 1], header[PID_END])
        if self.clients.pop(process, None) is None and len(self.clients) >= self.most_clients:
            self.listener.clients.make_room()
        self.clients[process] = self.reader._text(client, client_end)
        if self.failures:
            self.failures.pop(process, None)
        if self.keep:
            self.processes.append(process)

    cdef bint left(self, Origin origin, const byte** header, noted) except -1:
        """The client left, and so many AUTH commands had failed; tell whether each of them was told."""
        if noted == 0 and self.is_unknown(self.processes_known, header[PID_END - 1], header[PID_END]):
            return True
        cdef tuple process = self.process(origin, header)
        if noted > (self.failures.get(process, 0) if self.failures else 0):
            return False
        self.clients.pop(process, None)
        if self.failures:
            self.failures.pop(process, None)
        if self.keep:
            self.processes.append(process)
        return True

    cdef int accepted(
        self, Origin origin, PlainForm form, const byte** header,
        const byte* client, const byte* client_end, const byte* account, const byte* account_end,
    ) except -1:
        """A client brought a message, under an account or none."""
        cdef tuple message = (origin.host, text_of(header[QUEUE_END - 1], header[QUEUE_END]))
        measured = None if account_end == NULL else form.measure(text_of(account, account_end))
        if self.messages.pop(message, None) is None and len(self.messages) >= self.most_messages:
            self.listener.messages.make_room()
        self.messages[message] = (self.reader._text(client, client_end), measured, False)
        self.know(self.messages_known, header[QUEUE_END - 1], header[QUEUE_END])
        if self.keep:
            self.message_keys.append(message)
        if message in self.reused:
            self.listener.accepted(message)

    cdef int renewed(self, Origin origin, const byte* queue_id, const byte* queue_id_end) except -1:
        """A queue id belonged to another message, which is gone."""
        if self.is_unknown(self.messages_known, queue_id, queue_id_end):
            return 0
        cdef tuple message = (origin.host, text_of(queue_id, queue_id_end))
        self.messages.pop(message, None)
        if message in self.reused:
            self.listener.accepted(message)

    cdef int removed(self, Origin origin, const byte* queue_id, const byte* queue_id_end) except -1:
        """A message is gone."""
        if self.is_unknown(self.messages_known, queue_id, queue_id_end):
            return 0
        cdef tuple message = (origin.host, text_of(queue_id, queue_id_end))
        if self.messages.pop(message, None) is not None and self.keep:
            self.message_keys.append(message)

    cdef int not_plain(
        self, Origin origin, const byte** header, const byte* body, const byte* line_end, bytes block, Py_ssize_t number
    ) except -1:
        """A line is to be read elsewhere."""
        pid = b"" if header[PID_END] == NULL else text_of(header[PID_END - 1], header[PID_END])
        queue_id = b"" if header[QUEUE_END] == NULL else text_of(header[QUEUE_END - 1], header[QUEUE_END])
        self.reader.not_plain(
            (self.latest(), origin.text, pid, queue_id, b"", b"", text_of(body, line_end), b""), block, number
        )
        self.ticked = -1
        self.sieve_no_more()

    cdef bint other(self, const byte* line, const byte* line_end, bytes block, Py_ssize_t number) except -1:
        """A line without such a header is to be read elsewhere; tell whether to go on."""
        self.reader.not_plain((b"", b"", b"", b"", b"", b"", b"", text_of(line, line_end)), block, number)
        self.ticked = -1
        return True


cdef struct Part:
    # A text in a recording; without an end where there is none.
    const byte* begin
    const byte* end


cdef inline const byte* read_number(const byte* at, unsigned int* number) noexcept:
    memcpy(number, at, sizeof(unsigned int))
    return at + sizeof(unsigned int)


cdef inline const byte* read_part(const byte* at, Part* part) noexcept:
    cdef unsigned int size
    at = read_number(at, &size)
    if size == 0:
        part.begin = part.end = NULL
        return at
    part.begin, part.end = at, at + size - 1
    return part.end


cdef struct Serving:
    # What is known of a process in a stretch.
    uint64_t pid
    PyObject* origin
    const byte* client
    const byte* client_end
    unsigned int failures
    int state
    bint spoke  # it wrote a plain line since anything could wait for it


cdef struct Numbered:
    # A client that has a number in a stretch.
    uint64_t sum
    const byte* client
    size_t size
    unsigned int number


cdef struct Mail:
    # What is known of a message in a stretch.
    PyObject* origin
    const byte* client
    const byte* client_end
    const byte* account
    const byte* account_end
    unsigned int form
    int state
    unsigned char size
    byte queue_id[LONGEST_QUEUE_ID]


cdef class Recording(Effects):
    """The effects of a stretch of lines, written down for somebody who lets them happen later, behind those of all
    lines before. Whatever depends on these he has to read himself; all that is written down is in the lines' order.

    A connection that begins and ends in the stretch is nothing to him, unless a line of its process is his to read;
    nor is a message. `passing` is how many there were of all that may have begun: with so much room in his tables it is
    the same.
    """

    cdef byte* buffer
    cdef size_t size, room
    cdef uint64_t stretch
    cdef unsigned int origins, heads, numbered
    cdef int in_table
    cdef bint timed  # the time was written down
    # Rows lie side by side, so those of a stretch stay in the processor's cache; a slot has a row's number from 1 on.
    cdef Serving serving[MOST_SERVING]
    cdef Mail mails[MOST_MAILS]
    cdef Numbered clients_seen[MOST_CLIENTS]
    cdef unsigned short serving_slots[SERVING_SLOTS]
    cdef unsigned short mail_slots[MAIL_SLOTS]
    cdef unsigned short client_slots[CLIENT_SLOTS]
    cdef int served, mailed
    cdef Serving* here  # the process of the line that is read
    cdef list held  # origins that these speak of
    cdef object may_stand_alone
    cdef readonly Py_ssize_t stopped_at
    """Where a line begins that cannot be understood without those before, and to which it was read; -1: to the end."""
    cdef readonly Py_ssize_t passing

    def __init__(self, may_stand_alone):
        """`may_stand_alone` tells of a line without the block's header whether it means something without the others."""
        self.may_stand_alone, self.bare = may_stand_alone, True
        self.may_wait = False  # whoever lets it happen knows what a process says next
        self.held = []

    def __dealloc__(self):
        free(self.buffer)

    def take(self):
        """What was written down, for `PlainReader.apply`."""
        return PyBytes_FromStringAndSize(<const char*>self.buffer, self.size)

    cdef int begin(self, PlainReader reader) except -1:
        Effects.begin(self, reader)
        self.size, self.passing, self.stopped_at = 0, 0, -1
        self.origins = self.heads = self.numbered = 0
        self.timed = False
        self._begin_anew()

    cdef int _begin_anew(self) except -1:
        self.stretch += 1
        self.served = self.mailed = self.in_table = 0
        memset(self.serving_slots, 0, sizeof(self.serving_slots))
        memset(self.mail_slots, 0, sizeof(self.mail_slots))
        memset(self.client_slots, 0, sizeof(self.client_slots))
        self.here = NULL
        self.held.clear()

    cdef int end(self) except -1:
        self.tell_all()
        Effects.end(self)

    cdef int tell_all(self) except -1:
        """Write down all that began and did not end."""
        cdef int number
        cdef Serving* serving
        cdef Mail* mail
        for number in range(self.served):
            serving = &self.serving[number]
            if serving.state == OPEN:
                self._tell_serving(serving)
        for number in range(self.mailed):
            mail = &self.mails[number]
            if mail.state == OPEN:
                self._tell_mail(mail)
        self._begin_anew()

    cdef int set_time(self, const byte* begin, const byte* end) except -1:
        Effects.set_time(self, begin, end)
        self.timed = False

    cdef int _need(self, size_t more) except -1:
        """See to it that there is room."""
        cdef byte* larger
        if self.size + more > self.room:
            larger = <byte*>realloc(self.buffer, 2 * (self.size + more))
            if larger == NULL:
                raise MemoryError
            self.buffer, self.room = larger, 2 * (self.size + more)

    cdef void _number(self, unsigned int number) noexcept:
        memcpy(self.buffer + self.size, &number, sizeof(unsigned int))
        self.size += sizeof(unsigned int)

    cdef void _part(self, const byte* begin, const byte* end) noexcept:
        if end == NULL:
            self._number(0)
            return
        self._number(<unsigned int>(end - begin) + 1)
        memcpy(self.buffer + self.size, begin, end - begin)
        self.size += end - begin

    cdef int _write_time(self) except -1:
        if self.timed:
            return 0
        self._need(16 + (self.time_end - self.time))
        self.buffer[self.size] = TIME
        self.size += 1
        self._part(self.time, self.time_end)
        self.timed = True

    cdef int _write(self, byte what, Origin origin, size_t more) except -1:
        """What happens, and of whom; room for so many bytes of what is told of it."""
        cdef const byte* text
        if origin.stretch != self.stretch:
            text = <const byte*>PyBytes_AS_STRING(origin.text)
            self._need(16 + PyBytes_GET_SIZE(origin.text))
            self.buffer[self.size] = ORIGIN
            self.size += 1
            self._part(text, text + PyBytes_GET_SIZE(origin.text))
            origin.stretch, origin.place = self.stretch, self.origins
            self.origins += 1
        self._need(more + 64)
        self.buffer[self.size] = what
        self.size += 1
        self._number(origin.place)

    cdef int _write_of_process(self, byte what, Origin origin, const byte** header, size_t more) except -1:
        self._write(what, origin, (header[PID_END] - header[PID_END - 1]) + more)
        self._part(header[PID_END - 1], header[PID_END])

    cdef Serving* _serving(self, Origin origin, const byte** header) except? NULL:
        """What is known of the process of a line; NULL where there is no room for it."""
        cdef size_t size = header[PID_END] - header[PID_END - 1]
        cdef uint64_t pid = size
        if size > 7:
            return NULL
        memcpy(<byte*>&pid + 1, header[PID_END - 1], size)
        cdef size_t slot = ((pid ^ origin.number) * <uint64_t>0x9E3779B97F4A7C15) >> 52
        cdef Serving* serving
        while self.serving_slots[slot]:
            serving = &self.serving[self.serving_slots[slot] - 1]
            if serving.pid == pid and serving.origin == <PyObject*>origin:
                return serving
            slot = (slot + 1) & (SERVING_SLOTS - 1)
        if self.served == MOST_SERVING:
            return NULL
        self.held.append(origin)
        serving = &self.serving[self.served]
        self.served += 1
        self.serving_slots[slot] = self.served
        serving.pid, serving.origin = pid, <PyObject*>origin
        serving.state, serving.spoke = UNKNOWN, False
        return serving

    cdef int _tell_serving(self, Serving* serving) except -1:
        """Write down who is served."""
        cdef const byte* pid = <const byte*>&serving.pid + 1
        cdef const byte* end = pid + (<const byte*>&serving.pid)[0]
        self._write(CONNECTED, <Origin>serving.origin, (end - pid) + (serving.client_end - serving.client))
        self._part(pid, end)
        self._part(serving.client, serving.client_end)
        if serving.failures:
            self._write(FAILED, <Origin>serving.origin, end - pid)
            self._part(pid, end)
            self._number(serving.failures)
        serving.state = TOLD

    cdef Mail* _mail(self, Origin origin, const byte* queue_id, const byte* queue_id_end, bint add) except? NULL:
        """What is known of a message; NULL where that is nothing, or where there is no room for it."""
        cdef size_t size = queue_id_end - queue_id
        if size > LONGEST_QUEUE_ID:
            return NULL
        cdef size_t slot = sum_of(queue_id, size, self.reader.seed) & (MAIL_SLOTS - 1)
        cdef Mail* mail
        while self.mail_slots[slot]:
            mail = &self.mails[self.mail_slots[slot] - 1]
            if mail.size == size and memcmp(mail.queue_id, queue_id, size) == 0 and (
                (<Origin>mail.origin).host == origin.host
            ):
                return mail
            slot = (slot + 1) & (MAIL_SLOTS - 1)
        if not add or self.mailed == MOST_MAILS:
            return NULL
        self.held.append(origin)
        mail = &self.mails[self.mailed]
        self.mailed += 1
        self.mail_slots[slot] = self.mailed
        mail.origin, mail.size, mail.state = <PyObject*>origin, size, UNKNOWN
        memcpy(mail.queue_id, queue_id, size)
        return mail

    cdef int _tell_mail(self, Mail* mail) except -1:
        """Write down who brought it."""
        self._write_mail(
            <Origin>mail.origin, mail.form, mail.queue_id, mail.queue_id + mail.size,
            mail.client, mail.client_end, mail.account, mail.account_end,
        )
        mail.state = TOLD

    cdef int _tell_mails_in(self, Origin origin, const byte* at, const byte* end) except -1:
        """Write down who brought each message that a text may be about: some warnings have the queue id in their middle."""
        cdef const byte* word
        cdef Mail* mail
        while at < end:
            word = at
            while at < end and (is_digit(at[0]) or is_letter(at[0])):
                at += 1
            mail = self._mail(origin, word, at, False) if at > word else NULL
            if mail != NULL and mail.state == OPEN:
                self._tell_mail(mail)
            elif mail != NULL and mail.state == CLOSED:
                mail.state = UNKNOWN  # it may be there again, behind this line
            at += 1

    cdef int _write_mail(
        self, Origin origin, unsigned int form, const byte* queue_id, const byte* queue_id_end,
        const byte* client, const byte* client_end, const byte* account, const byte* account_end,
    ) except -1:
        cdef size_t more = (queue_id_end - queue_id) + (client_end - client)
        self._write(ACCEPTED, origin, more if account_end == NULL else more + (account_end - account))
        self._part(queue_id, queue_id_end)
        self._number(form)
        self._part(client, client_end)
        self._part(account, account_end)

    cdef bint explained(self, Origin origin, const byte** header, const byte* words, const byte* line_end) except -1:
        return False

    cdef int spoke(self, Origin origin, const byte** header, const byte* body, const byte* line_end) except -1:
        # Somebody may wait for the next line of a process: because of lines before the stretch, or of those that are
        # read later. So the first plain line of each process is told, and the first behind each of these.
        if not origin.awaited:
            self.here = NULL
            return 0
        self.here = self._serving(origin, header)
        if self.here != NULL:
            if self.here.spoke:
                return 0
            self.here.spoke = True
        self._write_of_process(SPOKE, origin, header, 0)

    cdef bint hit(
        self, Origin origin, Node node, const byte** header, const byte* client, const byte* client_end, const byte* line_end
    ) except -1:
        cdef const byte* text
        cdef bint failed = node.form.failed_login
        if not self.is_now():
            return False
        self._write_time()
        if node.stretch != self.stretch:
            text = <const byte*>PyBytes_AS_STRING(node.hits.head)
            self._write(HEAD, origin, PyBytes_GET_SIZE(node.hits.head))
            self._number(node.form.place)
            self._part(text, text + PyBytes_GET_SIZE(node.hits.head))
            node.stretch, node.place = self.stretch, self.heads
            self.heads += 1
        if failed and self.here != NULL:
            if self.here.state == OPEN:
                self.here.failures += 1
                failed = False
            elif self.here.state == CLOSED:
                self.here.state = UNKNOWN
        cdef unsigned int who = self._number_of(client, client_end)
        self._need(64 + (header[PID_END] - header[PID_END - 1]))
        self.buffer[self.size] = LOGIN_OF if failed else HIT_OF
        self.size += 1
        self._number(node.place)
        self._number(who)
        if failed:
            self._part(header[PID_END - 1], header[PID_END])
            self.passing += 1
        return True

    cdef unsigned int _number_of(self, const byte* client, const byte* client_end) except? 0xFFFFFFFF:
        """The number of a client."""
        cdef size_t size = client_end - client
        cdef uint64_t total = sum_of(client, size, self.reader.seed)
        cdef size_t slot = total & (CLIENT_SLOTS - 1)
        cdef Numbered* known
        while self.client_slots[slot]:
            known = &self.clients_seen[self.client_slots[slot] - 1]
            if known.sum == total and known.size == size and memcmp(known.client, client, size) == 0:
                return known.number
            slot = (slot + 1) & (CLIENT_SLOTS - 1)
        if self.in_table < MOST_CLIENTS:  # else he gets another number each time
            known = &self.clients_seen[self.in_table]
            self.in_table += 1
            self.client_slots[slot] = self.in_table
            known.sum, known.client, known.size, known.number = total, client, size, self.numbered
        self._need(16 + size)
        self.buffer[self.size] = WHO
        self.size += 1
        self._part(client, client_end)
        self.numbered += 1
        return self.numbered - 1

    cdef int connected(self, Origin origin, const byte** header, const byte* client, const byte* client_end) except -1:
        cdef Serving* here = self.here
        self.passing += 1
        if here == NULL or here.state == TOLD:
            self._write_of_process(CONNECTED, origin, header, client_end - client)
            self._part(client, client_end)
            return 0
        if here.state == UNKNOWN:  # the end of an earlier connection may not have been told
            self._write_of_process(LEFT, origin, header, 0)
        here.state, here.failures, here.client, here.client_end = OPEN, 0, client, client_end

    cdef bint left(self, Origin origin, const byte** header, noted) except -1:
        cdef Serving* here = self.here
        if here != NULL and here.state == OPEN:
            if noted <= here.failures:
                here.state = CLOSED
                return True
            self._tell_serving(here)
        if noted > 0:  # nobody knows here how many were told
            return False
        if here == NULL or here.state != CLOSED:
            self._write_of_process(LEFT, origin, header, 0)
        if here != NULL:
            here.state = CLOSED
        return True

    cdef int accepted(
        self, Origin origin, PlainForm form, const byte** header,
        const byte* client, const byte* client_end, const byte* account, const byte* account_end,
    ) except -1:
        cdef const byte* queue_id = header[QUEUE_END - 1]
        cdef const byte* queue_id_end = header[QUEUE_END]
        cdef Mail* mail = self._mail(origin, queue_id, queue_id_end, True)
        self.passing += 1
        if mail == NULL or mail.state == TOLD:
            self._write_mail(origin, form.place, queue_id, queue_id_end, client, client_end, account, account_end)
            return 0
        if mail.state == UNKNOWN:
            self._write(RENEWED, origin, queue_id_end - queue_id)
            self._part(queue_id, queue_id_end)
        if mail.origin != <PyObject*>origin:
            mail.origin = <PyObject*>origin
            self.held.append(origin)
        mail.state, mail.form = OPEN, form.place
        mail.client, mail.client_end, mail.account, mail.account_end = client, client_end, account, account_end

    cdef int removed(self, Origin origin, const byte* queue_id, const byte* queue_id_end) except -1:
        cdef Mail* mail = self._mail(origin, queue_id, queue_id_end, False)
        if mail == NULL or mail.state == UNKNOWN or mail.state == TOLD:
            self._write(REMOVED_OF, origin, queue_id_end - queue_id)
            self._part(queue_id, queue_id_end)
        if mail != NULL:
            mail.state = CLOSED

    cdef int not_plain(
        self, Origin origin, const byte** header, const byte* body, const byte* line_end, bytes block, Py_ssize_t number
    ) except -1:
        cdef const byte* begin = body
        cdef Serving* serving
        if header[QUEUE_END] != NULL:
            begin = header[QUEUE_END - 1]
        if self.mailed:
            self._tell_mails_in(origin, begin, line_end)
        if header[PID_END] != NULL:
            begin = header[PID_END - 1]
            serving = self._serving(origin, header)
            if serving != NULL and serving.state == OPEN:
                self._tell_serving(serving)
            elif serving != NULL and serving.state == CLOSED:
                serving.state = UNKNOWN
            if serving != NULL:
                serving.spoke = False
        self.passing += 1  # whatever it begins
        self._write_time()
        self._write(READ, origin, line_end - begin)
        self._part(header[PID_END - 1], header[PID_END])
        self._part(header[QUEUE_END - 1], header[QUEUE_END])
        self._part(body, line_end)
        self.buffer[self.size] = c"\n"  # behind every line: the patterns rely on it
        self.size += 1

    cdef bint other(self, const byte* line, const byte* line_end, bytes block, Py_ssize_t number) except -1:
        if not self.may_stand_alone(text_of(line, line_end)):
            self.stopped_at = line - <const byte*>PyBytes_AS_STRING(block)
            return False
        self._need(16 + (line_end - line))
        self.buffer[self.size] = ODD
        self.size += 1
        self._part(line, line_end)
        return True


cdef inline int slot_of(const byte* end) noexcept:
    """A slot for a pid: its last digits tell most apart. Something stands before each."""
    return ((end - 1)[0] * 16 + (end - 2)[0]) & 255


cdef int note_pids(set watch, byte* watched) except -1:
    """Note in which slots the pids of these processes are."""
    cdef bytes pid
    if len(watch) > 64:  # it would be in most
        memset(watched, 1, 256)
        return 0
    memset(watched, 0, 256)
    for _, _, pid in watch:
        if PyBytes_GET_SIZE(pid) > 1:
            watched[slot_of(<const byte*>PyBytes_AS_STRING(pid) + PyBytes_GET_SIZE(pid))] = 1
        else:
            memset(watched, 1, 256)  # what stands before it, differs
    return 0


cdef inline object group(const byte** marks, int number):
    """The text of a group, None where it is not there."""
    if number == 0 or marks[2 * number + 1] == NULL:
        return None
    return text_of(marks[2 * number], marks[2 * number + 1])


cdef add_text(Node node, int place, bytes text, long long count):
    """Add to the counts of the texts of a node."""
    cdef int number
    if node.spread is None:
        node.spread = [{} for number in range(node.form.spreads)]
    counts = node.spread[place]
    counts[text] = counts.get(text, 0) + count
