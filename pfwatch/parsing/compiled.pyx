# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop over a block's lines, compiled: what `Scanner` does with plain lines.

Enters: blocks, and the plain forms of the rules as `Steps`. Leaves: counts, rows, hits and what is remembered of open
connections and messages; every other line goes to whoever was named, in its turn. It must never know a wording: all
that it recognises was compiled from the rule tables, and whatever it does not recognise is read elsewhere.

Every line is read where it lies. Objects are made of what somebody keeps: a client that is remembered, a hit.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset

from pfwatch.parsing.hits cimport Hit, Hits
from pfwatch.sums cimport sum_of

ctypedef unsigned char byte

cdef enum:
    # As in `parsing.steps`.
    MATCH = 0
    LITERAL = 1
    ONE = 2
    POSSESSIVE = 3
    GREEDY = 4
    SPLIT = 5
    JUMP = 6
    MARK = 7
    END = 8
    AHEAD = 9
    NOT_AHEAD = 10
    REST = 11

    MOST_MARKS = 26
    MOST_FRAMES = 40
    MOST_UNDO = 60
    MOST_KEY = 4096  # bytes of all that tells a node from others
    LONGEST_KEY = 1000  # bytes of the groups that a line is counted by, as in `parsing.readings`
    MOST_NODES = 8192  # different counts; beyond, all are handed over and forgotten
    NODE_SLOTS = 16384
    MOST_ORIGINS = 1024
    ORIGIN_SLOTS = 2048
    SHARED_SLOTS = 8192
    LONGEST_ORIGIN = 300  # bytes of host and tag that are looked up before they are read
    LONGEST_SHARED = 200  # bytes of a text of which one object is kept
    MOST_TEXT = 16  # bytes of a text that is counted by itself; longer ones are rare
    MOST_TEXTS = 3000  # so few that the table stays in the processor's cache
    TEXT_SLOTS = 4096

    PID_END = 3  # marks of what stands before a body
    QUEUE_END = 5

    FITS = 1
    DIFFERS = 0
    TOO_DEEP = -1

    # What is remembered of a line.
    NOTHING = 0
    CONNECT = 1
    DISCONNECT = 2
    CLIENT = 3
    REMOVED = 4

    COUNTED = 0
    HIT = 1
    EVENT = 2

cdef int[12] OPERANDS = [0, 2, 1, 3, 3, 2, 1, 1, 0, 1, 1, 0]  # in the order of the steps above

NOTES = {None: NOTHING, "connect": CONNECT, "disconnect": DISCONNECT, "client": CLIENT, "removed": REMOVED}


cdef struct Frame:
    # Where to go on when what follows does not fit.
    const int* step
    const byte* at
    const byte* least  # of a repetition that may give back bytes; else NULL
    int undo  # how many marks had been written


cdef struct Mark:
    # A mark as it was before it was written.
    int which
    const byte* before


cdef class Steps:
    """A pattern as the steps of `parsing.steps.Program`."""

    cdef int* code
    cdef byte* sets
    cdef byte* texts
    cdef int marks
    cdef byte first[256]  # 1 for a byte that a text can begin with
    cdef byte* choices  # 256 for each SPLIT: by the next byte, whether the one way can fit (1), the other (2), or both
    cdef readonly dict groups

    def __cinit__(self, program):
        cdef int number
        self.code = <int*>malloc(len(program.code) * sizeof(int))
        self.sets = <byte*>malloc(256 * len(program.sets) + 1)
        self.texts = <byte*>malloc(len(program.texts) + 1)
        self.choices = <byte*>calloc(256, list(program.code).count(SPLIT) + 1)
        if self.code == NULL or self.sets == NULL or self.texts == NULL or self.choices == NULL:
            raise MemoryError
        for number, value in enumerate(program.code):
            self.code[number] = value
        for number, table in enumerate(program.sets):
            memcpy(self.sets + 256 * number, PyBytes_AS_STRING(table), 256)
            (self.sets + 256 * number)[c"\n"] = 0  # no line has one, and the one behind it ends every repetition
        memcpy(self.texts, PyBytes_AS_STRING(program.texts), len(program.texts))
        self.groups = program.groups
        self.marks = 2 * program.most_groups + 2
        if self.marks > MOST_MARKS:
            raise ValueError("too many groups")
        self._find_first(self.code, self.first, 1)
        cdef int* step = self.code
        cdef int* end = self.code + len(program.code)
        number = 0
        while step < end:
            if step[0] == SPLIT:
                step[2] = number
                self._find_first(step + 3, self.choices + 256 * number, 1)
                self._find_first(self.code + step[1], self.choices + 256 * number, 2)
                number += 1
            step += 1 + OPERANDS[step[0]]

    cdef void _find_first(self, const int* step, byte* table, byte mark) noexcept:
        """Mark the bytes with which a text can begin that fits from here on."""
        cdef int value
        cdef const byte* fitting
        while True:
            if step[0] == MARK:
                step += 2
            elif step[0] == JUMP:
                step = self.code + step[1]
            elif step[0] == SPLIT:
                self._find_first(step + 3, table, mark)
                step = self.code + step[1]
            elif step[0] == LITERAL:
                table[(self.texts + step[1])[0]] |= mark
                return
            elif step[0] == END:
                table[c"\n"] |= mark
                return
            elif step[0] == ONE or step[0] == POSSESSIVE or step[0] == GREEDY:
                fitting = self.sets + 256 * step[1]
                for value in range(256):
                    if fitting[value]:
                        table[value] |= mark
                if step[0] == ONE or step[2] > 0:
                    return
                step += 4  # it may be nothing
            else:  # it may begin with anything, or with nothing
                for value in range(256):
                    table[value] |= mark
                return

    def __dealloc__(self):
        free(self.code)
        free(self.sets)
        free(self.texts)
        free(self.choices)

    def match(self, bytes text):
        """The end of what fits at the beginning of a line and the spans of the groups, as `re` tells them; or None."""
        text += b"\n"
        cdef const byte* marks[MOST_MARKS]
        cdef const byte* begin = <const byte*>PyBytes_AS_STRING(text)
        cdef const byte* stop
        cdef int fits = go(self, self.code, begin, begin + PyBytes_GET_SIZE(text) - 1, marks, &stop)
        if fits == TOO_DEEP:
            raise RecursionError("too many alternatives are open")
        if fits == DIFFERS:
            return None
        spans = []
        cdef int number
        for number in range(1, self.marks // 2):
            if marks[2 * number + 1] == NULL:
                spans.append((-1, -1))
            else:
                spans.append((marks[2 * number] - begin, marks[2 * number + 1] - begin))
        return stop - begin, spans


cdef int go(
    Steps steps, const int* step, const byte* at, const byte* end, const byte** marks, const byte** stop
) noexcept:
    """Go through the steps from a place in a line, behind which a line feed stands; tell where they end, and the groups."""
    cdef Frame frames[MOST_FRAMES]
    cdef Mark undo[MOST_UNDO]
    cdef Frame* frame
    cdef int depth = 0, written = 0
    cdef const int* base = steps.code
    cdef const byte* table
    cdef const byte* begin
    cdef const byte* limit
    cdef const byte* inner_stop
    cdef const byte* inner_marks[MOST_MARKS]
    cdef int kind, fits
    memset(marks, 0, steps.marks * sizeof(void*))
    while True:
        kind = step[0]
        if kind == LITERAL:
            begin = steps.texts + step[1]
            if at[0] == begin[0] and end - at >= step[2] and (
                step[2] == 1 or memcmp(at + 1, begin + 1, step[2] - 1) == 0  # most are one byte: no call
            ):
                at += step[2]
                step += 3
                continue
        elif kind == POSSESSIVE or kind == GREEDY:
            table = steps.sets + 256 * step[1]
            begin = at
            if step[3] < 0:
                while table[at[0]]:
                    at += 1
            else:
                limit = end if end - at < step[3] else at + step[3]
                while at < limit and table[at[0]]:
                    at += 1
            if at - begin >= step[2]:
                if kind == GREEDY and at - begin > step[2]:
                    if depth == MOST_FRAMES:
                        return TOO_DEEP
                    frame = &frames[depth]
                    frame.step, frame.at, frame.least, frame.undo = step + 4, at, begin + step[2], written
                    depth += 1
                step += 4
                continue
        elif kind == MARK:
            if depth:
                if written == MOST_UNDO:
                    return TOO_DEEP
                undo[written].which, undo[written].before = step[1], marks[step[1]]
                written += 1
            marks[step[1]] = at
            step += 2
            continue
        elif kind == ONE:
            if (steps.sets + 256 * step[1])[at[0]]:
                at += 1
                step += 2
                continue
        elif kind == SPLIT:
            # Most alternatives differ in their first bytes: no frame for one that cannot fit anyway.
            kind = (steps.choices + 256 * step[2])[at[0]]
            if kind & 1:
                if kind & 2:
                    if depth == MOST_FRAMES:
                        return TOO_DEEP
                    frame = &frames[depth]
                    frame.step, frame.at, frame.least, frame.undo = base + step[1], at, NULL, written
                    depth += 1
                step += 3
            else:
                step = base + step[1]
            continue
        elif kind == JUMP:
            step = base + step[1]
            continue
        elif kind == REST:
            at = end
            step += 1
            continue
        elif kind == END:
            if at == end:
                step += 1
                continue
        elif kind == MATCH:
            stop[0] = at
            return FITS
        else:  # AHEAD, NOT_AHEAD
            fits = go(steps, step + 2, at, end, inner_marks, &inner_stop)
            if fits == TOO_DEEP:
                return TOO_DEEP
            if (fits == FITS) == (kind == AHEAD):
                step = base + step[1]
                continue
        # It does not fit: back to the latest alternative.
        if depth == 0:
            return DIFFERS
        frame = &frames[depth - 1]
        if frame.least != NULL:
            frame.at -= 1
            if frame.at == frame.least:
                depth -= 1
        else:
            depth -= 1
        step, at = frame.step, frame.at
        while written > frame.undo:
            written -= 1
            marks[undo[written].which] = undo[written].before


cdef class PlainForm:
    """A plain form in these steps, and what to do with its lines."""

    cdef readonly object form
    cdef Steps steps
    cdef int key[13]
    cdef int spread[13]
    cdef int note, client, noted, keys, spreads
    cdef bint failed_login, passed
    cdef object judge, measure, hits

    def __init__(self, form, Steps steps, key, *, judge, hits, measure, noted, passed):
        """Lines are counted by the groups of `key`. `judge` takes these and tells whether the line is a hit (True),
        only counted (False) or an event (None); `hits` takes an origin and a head and makes what such hits share.
        `noted` is the group that is remembered, `measure` makes of it what is. `passed`: nothing is to be done.
        """
        self.form, self.steps = form, steps
        self.spreads = len(form.rule.spread)
        for number, name in enumerate(form.rule.spread):
            self.spread[number] = steps.groups[name]
        self.keys = len(key)
        for number, name in enumerate(key):
            self.key[number] = steps.groups[name]
        self.note = NOTES[form.rule.notes]
        self.client = steps.groups.get("client", 0)
        self.noted = steps.groups.get(noted, 0)
        self.failed_login, self.passed = form.plain.failed_login, passed
        self.judge, self.measure, self.hits = judge, measure, hits


cdef class Origin:
    """A host and a tag, and the plain forms of the tag's program; `foreign`: of nobody who is read. `begins` tells which
    bytes a body that matters can begin with: 1 for each, of 256; None: any.
    """

    cdef readonly bytes text, host, tag
    cdef readonly tuple identified, anonymous
    cdef readonly bint foreign
    cdef bytes begins
    cdef bint has_pid  # such a line was seen
    cdef unsigned int number

    def __init__(self, bytes text, bytes host, bytes tag, identified, anonymous, *, foreign, bytes begins):
        self.text, self.host, self.tag = text, host, tag
        self.identified, self.anonymous = tuple(identified), tuple(anonymous)
        for form in (*self.identified, *self.anonymous):
            if not isinstance(form, PlainForm):
                raise TypeError(form)
        self.foreign = foreign
        if begins is not None and len(begins) != 256:
            raise ValueError("a byte for each byte")
        self.begins = begins


cdef inline bint follows(Origin origin, const byte* at, const byte* end) noexcept:
    """Whether this origin stands here, followed by a pid: as it was before, so the steps would end there again."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(origin.text)
    return end - at > size and at[size] == c"[" and memcmp(at, PyBytes_AS_STRING(origin.text), size) == 0


cdef inline bint is_digit(byte one) noexcept:
    return c"0" <= one <= c"9"


cdef inline bint is_letter(byte one) noexcept:
    return c"a" <= (one | 32) <= c"z"


cdef inline bint passes(Origin origin, const byte* at, const byte* end, set watch):
    """Whether a line does not matter whose tag ends here, as far as a glance tells.

    Behind a pid in brackets stands a body, whatever it is. Where somebody waits for a process, its lines matter.
    """
    if not origin.foreign and (origin.begins is None or watch):
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
    at += 2
    if at[0] == c" ":
        at += 1
    if (<const byte*>PyBytes_AS_STRING(origin.begins))[at[0]]:
        return False
    while is_digit(at[0]) or is_letter(at[0]):  # a queue id, or else a word
        at += 1
    return at[0] != c":"


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

    cdef object learn, not_plain, make_room, read_time
    cdef Slot* nodes
    cdef Slot* origins
    cdef Text* texts
    cdef int known_texts
    cdef Slot* shared
    cdef readonly list known_nodes
    """Every `Node`, with its count so far."""
    cdef list known_origins
    cdef uint64_t seed
    cdef unsigned int numbers

    def __cinit__(self, learn, not_plain, make_room, read_time):
        """`learn` makes the `Origin` of a text; `not_plain` reads a line that is not plain, out of its pieces, the
        block and its number; `make_room` takes the counts; `read_time` tells the moment of a time text.
        """
        self.learn, self.not_plain, self.make_room, self.read_time = learn, not_plain, make_room, read_time
        self.nodes = <Slot*>calloc(NODE_SLOTS, sizeof(Slot))
        self.origins = <Slot*>calloc(ORIGIN_SLOTS, sizeof(Slot))
        self.texts = <Text*>calloc(TEXT_SLOTS, sizeof(Text))
        self.shared = <Slot*>calloc(SHARED_SLOTS, sizeof(Slot))
        if self.nodes == NULL or self.origins == NULL or self.texts == NULL or self.shared == NULL:
            raise MemoryError
        self.known_nodes, self.known_origins = [], []
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
        memset(self.nodes, 0, NODE_SLOTS * sizeof(Slot))
        memset(self.origins, 0, ORIGIN_SLOTS * sizeof(Slot))
        self.known_nodes.clear()
        self.known_origins.clear()

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
                begin, end = body, marks[2 * form.client]
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
            node.verdict = EVENT
        if form.hits is not None:
            node.hits = form.hits(origin, text_of(body, marks[2 * form.client]))
        return node

    def read(self, bytes block, Steps begin, Steps tagged, Steps behind, listener, bint bare, bint picky):
        """Read a block of lines, each with its line feed; `begin` are the steps of a header up to
        the host, with the time as their group, `tagged` those of host and tag, `behind` those of pid and queue id.
        Hits are `bare` where nobody wants to know more of them than who and when. With `picky`, lines that do not
        matter are passed over, and whoever waits is told the time by each of them.

        Gives how many lines there are, how many of them are hits, nobody's, and not plain.
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
        cdef const byte* marks[MOST_MARKS]
        cdef Origin origin
        cdef Origin latest_origin = None, earlier_origin = None  # of the lines before, each followed by its pid
        cdef PlainForm form
        cdef Node node
        cdef tuple forms
        cdef Py_ssize_t number = 0, place
        cdef Py_ssize_t hits = 0, foreign = 0, others = 0
        cdef bint exists = False, plain, passed
        cdef bytes latest = b"", day = b"", pid, queue_id
        cdef dict clients = listener.clients.rows
        cdef dict failures = listener.failures.rows
        cdef dict messages = listener.messages.rows
        cdef Py_ssize_t most_clients = listener.clients.limit
        cdef Py_ssize_t most_failures = listener.failures.limit
        cdef Py_ssize_t most_messages = listener.messages.limit
        cdef bint keep = listener.clients.keep
        cdef set watch = listener.watch
        cdef list finished = listener.finished
        cdef tuple process
        cdef Hit hit
        cdef double at = 0, ticked = -1
        cdef bint watch_changed = True
        cdef byte watched[256]  # 1 for each slot in which a pid may be that is watched
        cdef Py_ssize_t times
        reused = listener.reused
        moment = None
        processes, failed, message_keys = [], [], []  # whose rows were changed
        while True:
            line_end = <const byte*>memchr(line, c"\n", end - line) if line < end else NULL
            if line_end == NULL:
                line_end = end
            plain = passed = False
            origin = None
            stop = line + known_size
            if known == NULL or <size_t>(line_end - line) < known_size or memcmp(line, known, known_size) != 0:
                known = NULL
                if go(begin, begin.code, line, line_end, header, &stop) == FITS:
                    known, known_size = line, stop - line
                    latest, moment = text_of(header[2], header[3]), None
                    if latest[:10] != day:  # or hour: the steps know only times of a day that exist
                        day, moment = latest[:10], self.read_time(latest)
                        exists = moment is not None
                        at = moment[0] if exists else 0
            if known != NULL:
                if latest_origin is not None and follows(latest_origin, stop, line_end):
                    origin, body = latest_origin, stop + PyBytes_GET_SIZE(latest_origin.text)
                elif earlier_origin is not None and follows(earlier_origin, stop, line_end):
                    origin, body = earlier_origin, stop + PyBytes_GET_SIZE(earlier_origin.text)
                    earlier_origin, latest_origin = latest_origin, origin
                else:
                    body = <const byte*>memchr(stop, c"[", min(line_end - stop, LONGEST_ORIGIN))
                    if body != NULL:
                        origin = self._known_origin(stop, body - stop)
                    if origin is not None:
                        earlier_origin, latest_origin = latest_origin, origin
                    elif go(tagged, tagged.code, stop, line_end, header, &body) == FITS:
                        origin = self._origin(stop, body - stop)
                        if body < line_end and body[0] == c"[":
                            origin.has_pid = True
                            earlier_origin, latest_origin = latest_origin, origin
                if origin is not None and not (picky and passes(origin, body, line_end, watch)):
                    if go(behind, behind.code, body, line_end, header, &body) != FITS:
                        origin = None
                elif origin is not None:
                    header[PID_END] = header[QUEUE_END] = NULL
                    passed = True
            if picky and watch and origin is not None:
                if watch_changed:
                    watch_changed = False
                    note_pids(watch, watched)
                if not origin.foreign and header[PID_END] != NULL and watched[slot_of(header[PID_END])]:
                    process = (origin.host, origin.tag, self._text(header[PID_END - 1], header[PID_END]))
                    if process in watch:
                        listener.spoke(
                            process, text_of(body if header[QUEUE_END] == NULL else header[QUEUE_END - 1], line_end)
                        )
                        watch_changed = True
                if moment is None and exists:
                    moment = self.read_time(latest)
                    at = moment[0] if moment is not None else 0
                if moment is not None and at != ticked:
                    listener.tick(at)
                    ticked, watch_changed = at, True
            if origin is None:
                others += 1
                self.not_plain((b"", b"", b"", b"", b"", b"", b"", text_of(line, line_end)), block, number)
                ticked, watch_changed = -1, True  # something else may wait now
            elif passed or origin.foreign:
                foreign += 1
            elif origin.begins is not None and not (<const byte*>PyBytes_AS_STRING(origin.begins))[body[0]]:
                foreign += 1
            else:
                forms = origin.anonymous if header[QUEUE_END] == NULL else origin.identified
                if header[PID_END] != NULL and exists:
                    for place in range(len(forms)):
                        form = <PlainForm>forms[place]
                        if not form.steps.first[body[0]]:  # there is one: a line feed at least
                            continue
                        if go(form.steps, form.steps.code, body, line_end, marks, &stop) == FITS:
                            plain = True
                            break
                if plain and not form.passed:
                    process = None
                    if watch:
                        process = (origin.host, origin.tag, self._text(header[PID_END - 1], header[PID_END]))
                        if process in watch:
                            listener.spoke(process, text_of(body, line_end))
                    node = self._node(origin, form, marks, body)
                    if node is None:
                        plain = False
                    elif form.judge is not None or form.hits is not None:
                        if node.verdict == HIT:
                            if moment is None:
                                moment = self.read_time(latest)
                                at = moment[0] if moment is not None else 0
                            if moment is None:
                                plain = False
                            else:
                                node.count += 1
                                hits += 1
                                if watch and at != ticked:
                                    listener.tick(at)
                                    ticked = at
                                pid = queue_id = b""
                                if form.failed_login or not bare:
                                    pid = self._text(header[PID_END - 1], header[PID_END])
                                hit = Hit.__new__(Hit)
                                hit.hits, hit.moment, hit.at = node.hits, moment, at
                                hit.client = self._text(marks[2 * form.client], marks[2 * form.client + 1])
                                if bare:
                                    hit.time = hit.pid = hit.queue_id = hit.tail = b""
                                else:
                                    if header[QUEUE_END] != NULL:
                                        queue_id = self._text(header[QUEUE_END - 1], header[QUEUE_END])
                                    hit.time, hit.pid, hit.queue_id = latest, pid, queue_id
                                    hit.tail = self._text(marks[2 * form.client + 1], line_end)
                                finished.append(hit)
                                if form.failed_login:
                                    process = (origin.host, origin.tag, pid)
                                    times = failures.get(process, 0)
                                    if times == 0 and len(failures) >= most_failures:
                                        listener.failures.make_room()
                                    failures[process] = times + 1
                                    if keep:
                                        failed.append(process)
                        elif node.verdict == COUNTED:
                            node.count += 1
                        else:
                            plain = False
                    elif form.note == NOTHING:
                        node.count += 1
                        for place in range(form.spreads):
                            self._count_text(
                                node, place, marks[2 * form.spread[place]], marks[2 * form.spread[place] + 1]
                            )
                    elif form.note == CONNECT:
                        node.count += 1
                        if process is None:
                            process = (origin.host, origin.tag, self._text(header[PID_END - 1], header[PID_END]))
                        if clients.pop(process, None) is None and len(clients) >= most_clients:
                            listener.clients.make_room()
                        clients[process] = self._text(marks[2 * form.client], marks[2 * form.client + 1])
                        if failures:
                            failures.pop(process, None)
                        if keep:
                            processes.append(process)
                    elif form.note == DISCONNECT:
                        if process is None:
                            process = (origin.host, origin.tag, self._text(header[PID_END - 1], header[PID_END]))
                        if node.noted <= (failures.get(process, 0) if failures else 0):
                            # Every AUTH that failed was told.
                            node.count += 1
                            clients.pop(process, None)
                            if failures:
                                failures.pop(process, None)
                            if keep:
                                processes.append(process)
                        else:
                            plain = False
                    elif form.note == CLIENT:
                        node.count += 1
                        message = (origin.host, text_of(header[QUEUE_END - 1], header[QUEUE_END]))
                        account = group(marks, form.noted)
                        if account is not None:
                            account = form.measure(account)
                        if messages.pop(message, None) is None and len(messages) >= most_messages:
                            listener.messages.make_room()
                        messages[message] = (
                            self._text(marks[2 * form.client], marks[2 * form.client + 1]),
                            account,
                            False,
                        )
                        if keep:
                            message_keys.append(message)
                        if message in reused:
                            listener.accepted(message)
                    else:
                        node.count += 1
                        message = (origin.host, text_of(header[QUEUE_END - 1], header[QUEUE_END]))
                        if messages.pop(message, None) is not None and keep:
                            message_keys.append(message)
                if not plain:
                    others += 1
                    pid = b"" if header[PID_END] == NULL else text_of(header[PID_END - 1], header[PID_END])
                    queue_id = b"" if header[QUEUE_END] == NULL else text_of(header[QUEUE_END - 1], header[QUEUE_END])
                    self.not_plain(
                        (latest, origin.text, pid, queue_id, b"", b"", text_of(body, line_end), b""), block, number
                    )
                    ticked, watch_changed = -1, True
            number += 1
            if line_end >= end:
                break
            line = line_end + 1
        if keep:
            listener.clients.touch(processes)
            listener.failures.touch(processes)
            listener.failures.touch(failed)
            listener.messages.touch(message_keys)
        return number, hits, foreign, others


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
