"""What happened to subjects since each of them was last kept whole: the pages that a commit each second writes.

Enters: the news of the rows of every rule. Leaves: what is to be kept, encoded, and after a restart the watches of all
subjects. This file must never know when something is committed.

To keep a subject whole means to read and write all its texts, for one hit more. So what happened is written down as it
came, one page for all subjects; a subject is kept whole when his page is the oldest and there are too many of them, or
when more happened to him than that takes. Of a subject that was kept whole, what earlier pages say is known.
"""

import zlib
from collections import deque
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from pfwatch.detection.rows import Row, Rows
from pfwatch.detection.watch import Happened, Watch
from pfwatch.detection.watched import Watched
from pfwatch.parsing.hits import Hit, Hits, Kind, Pieces, hit_of, hits_of, kind_of, pieces_of

PART = "diary"
_MOST_BYTES = 16_000_000
"""Of all pages."""
_MOST_PAGES = 1_000
_MOST_ON_PAGES = 100_000
"""News on all pages: five minutes of a very busy log, which are read in a second or two after a restart."""
_MOST_NEWS = 8
"""Of one subject on a page; who has more is kept whole, which takes less."""
_LONGEST = 1_000
"""Bytes of a hit that is written down as it came."""


class Opened(msgspec.Struct, frozen=True, tag=2, array_like=True, gc=False):
    """An incident opened."""

    at: float


class Attempted(msgspec.Struct, frozen=True, tag=3, array_like=True, gc=False):
    """A hit: which of the page's kinds it is of, and what else is in it."""

    kind: int
    pieces: Pieces


class Gone(msgspec.Struct, frozen=True, tag=4, array_like=True, gc=False):
    """Nothing of what was known of him is any more."""


News = Happened | Opened | Attempted | Gone
Entry = tuple[int, str, list[News]]
"""Place of the rule on the page, subject, and what happened to him."""


class Page(msgspec.Struct, frozen=True, array_like=True):
    """What happened between two commits, those who were kept whole left out."""

    rules: list[str]
    kinds: list[Kind]
    entries: list[Entry]


class _Turned(NamedTuple):
    """What is to be known of a page that was written."""

    number: int
    size: int
    """Bytes."""
    news: int
    met: list[tuple[Rows, list[Row]]]
    """Who is on it and was not gone."""


_QUICKLY = 1
"""How hard to compress: names and lines come again and again, and a page is a sixth then."""
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Diary:
    """Belongs to one detector."""

    def __init__(self) -> None:
        self.news = 0
        """How many there are on all pages."""
        self._size = 0
        self._number = 0
        """Of the latest page, or of what was kept whole after it."""
        self._pages: deque[_Turned] = deque()
        """The oldest first."""
        self._anew = False

    def begin_anew(self) -> None:
        """Everybody is to be kept whole, and what else is kept is none of it."""
        self._anew = True

    def drain(self, every: Mapping[str, Watched]) -> dict[str, dict[bytes, bytes | None]]:
        """What is to be kept of what happened since the last call, by table; None for a row that is gone."""
        kept = {PART: self._clear(every) if self._anew else self._make_room()}
        writing = _Writing(self._number + 1)
        for place, (name, watched) in enumerate(every.items()):
            kept[f"watch:{name}"] = writing.take(place, watched, anew=self._anew)
        if writing.entries:
            page = Page(list(every), list(map(kind_of, writing.kinds)), writing.entries)
            text = zlib.compress(_encode(page), _QUICKLY)
            kept[PART][_encode(writing.number)] = text
            self._turn(_Turned(writing.number, len(text), _news_on(page), writing.met))
        if any(kept.values()):
            self._number = writing.number
        self._anew = False
        return kept

    def restore(self, saved: Mapping[str, Mapping[bytes, bytes]], every: Mapping[str, Watched]) -> None:
        """Fill the rows of every rule with what `drain` gave."""
        watches = {name: _watches(saved.get(f"watch:{name}", {})) for name in every}
        self._number = max((watch.page for known in watches.values() for watch in known.values()), default=0)
        pages = sorted((_decode(key, type=int), text) for key, text in saved.get(PART, {}).items())
        read: list[tuple[int, int, int, dict[str, list[str]]]] = []
        for number, text in pages:
            page = _decode(zlib.decompress(text), type=Page)
            read.append((number, len(text), _news_on(page), _again_all(page, number, watches, every)))
            self._number = max(self._number, number)
        for name, known in watches.items():
            every[name].rows.restore(known)
            for row in every[name].rows:
                row.whole_at = known[row.subject].page
        for number, size, news, on_page in read:
            met = []
            for name, subjects in on_page.items():
                of_subject = every[name].rows.of_subject
                met.append((every[name].rows, [of_subject[one] for one in subjects if one in of_subject]))
            self._turn(_Turned(number, size, news, met))

    def _turn(self, page: _Turned) -> None:
        self._pages.append(page)
        self._size += page.size
        self.news += page.news

    def _make_room(self) -> dict[bytes, bytes | None]:
        """Give up the oldest pages where there are too many; who is on them and was not kept whole since, will be."""
        gone: dict[bytes, bytes | None] = {}
        while self._size > _MOST_BYTES or self.news > _MOST_ON_PAGES or len(self._pages) > _MOST_PAGES:
            page = self._pages.popleft()
            self._size -= page.size
            self.news -= page.news
            gone[_encode(page.number)] = None
            for rows, met in page.met:
                for row in met:
                    if not row.gone and row.whole_at < page.number:
                        rows.keep_anew(row)
        return gone

    def _clear(self, every: Mapping[str, Watched]) -> dict[bytes, bytes | None]:
        self._pages.clear()
        self._size = self.news = 0
        for watched in every.values():
            for row in watched.rows:
                watched.rows.keep_anew(row)
        return {}


class _Writing:
    """A page that is being written."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.kinds: dict[Hits, int] = {}
        self.entries: list[Entry] = []
        self.met: list[tuple[Rows, list[Row]]] = []

    def take(self, place: int, watched: Watched, *, anew: bool) -> dict[bytes, bytes | None]:
        """Write down what happened to the subjects of a rule. Gives the rows of those who are whole or gone."""
        news, rows = dict[Row, list[Any]](), dict[bytes, bytes | None]()
        for row, what in watched.rows.take_news():
            news.setdefault(row, []).append(what)
        whole, watched.rows.changed = watched.rows.changed, set()
        ended, watched.rows.ended = watched.rows.ended, set()
        ended.update([row.subject for row in news if row.gone])
        if not anew:  # first, for they may be there again
            rows.update((_encode(subject), None) for subject in ended)
            self.entries += [(place, subject, [Gone()]) for subject in ended]
        whole.update([row for row, happened in news.items() if not row.gone and _is_much(happened)])
        met = [row for row in news if not row.gone and row not in whole]
        self.entries += [(place, row.subject, [self._written(one) for one in news[row]]) for row in met]
        self.met.append((watched.rows, met))
        for row in whole:
            watch = watched.read(row)
            watch.page = row.whole_at = self.number
            rows[_encode(row.subject)] = _encode(watch)
        return rows

    def _written(self, what: Any) -> News:
        if isinstance(what, Hit):
            return Attempted(self.kinds.setdefault(what.hits, len(self.kinds)), pieces_of(what))
        news: News = what
        return news


def _is_much(happened: list[Any]) -> bool:
    return len(happened) > _MOST_NEWS or any(isinstance(one, Hit) and len(one.tail) > _LONGEST for one in happened)


def _news_on(page: Page) -> int:
    return sum(len(what) for _, _, what in page.entries)


def _watches(saved: Mapping[bytes, bytes]) -> dict[str, Watch]:
    return {_decode(key, type=str): _decode(value, type=Watch) for key, value in saved.items()}


def _again_all(
    page: Page, number: int, watches: dict[str, dict[str, Watch]], every: Mapping[str, Watched]
) -> dict[str, list[str]]:
    """Let what is on a page happen again. Gives who is on it, by rule."""
    hits, met = list(map(hits_of, page.kinds)), dict[str, list[str]]()
    for place, subject, what in page.entries:
        name = page.rules[place]
        if name not in every:
            continue
        met.setdefault(name, []).append(subject)
        watch = watches[name].pop(subject, None)
        if watch is None or watch.page < number:
            watch = _again(every[name], subject, watch, what, page, hits)
        if watch is not None:
            watches[name][subject] = watch
    return met


def _again(
    watched: Watched, subject: str, watch: Watch | None, what: list[News], page: Page, hits: list[Hits | None]
) -> Watch | None:
    """A subject after all this happened to him again."""
    window = watched.numbers.window
    for _, together in groupby(what, type):
        attempts: list[Hit] = []
        for one in together:
            if isinstance(one, Attempted):
                kind, (_, _, _, host, *_) = hits[one.kind], page.kinds[one.kind]
                watch = watch or Watch(host.decode("utf-8", "backslashreplace"))
                if kind is None:  # another version wrote it, and its texts are not known any more
                    watch.add(one.pieces[0], 1, window)
                else:
                    attempts.append(hit_of(kind, one.pieces))
            elif isinstance(one, Happened):
                watch = watch or Watch(one.host)
                watch.read(watched.told)
                watch.happen(one, window, tell=watched.texts)
            elif isinstance(one, Opened) and watch is not None:
                watch.open(watched.name, subject, one.at)
            elif isinstance(one, Gone):
                watch = None
        if attempts and watch is not None:
            times = [hit.at for hit in attempts]
            last = max(watch.last, *times)
            watch.count_hits(attempts, len(times), min(times), last, watched.numbers, keep=watched.texts)
    return watch
