"""Which runs of which requests a window captures: the text of a selection read, and the decision run by run.

Pure: no clock, no files. What is captured of a run, and how long, is `window`'s; who asked is the front's business.
"""

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from genai_runtime.generation import GenerationRequest

LONGEST_RUNS = 200  # characters
MOST_PARTS = 64
MOST_NAMES = 64  # of request ids, and of clients
_EVERY = re.compile(r"every ([1-9][0-9]{0,5})")
_TOKENS = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT = re.compile(r"[!-~]{1,253}")
_HASHES = 2**64
_REMEMBERED = 4096
_SHOWN = 40  # characters of a bad part in a message

Requests = Callable[[], Mapping[str, int]]
"""The requests of a run, as `manifest.Run` has them; asked only where the decision needs them."""


class InvalidSelection(ValueError):
    """The field `field` of a selection cannot be read; the text says which part of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Selection:
    """As a user writes it; the defaults choose everything.

    `runs`: "prefill,0-3,50-60" (prompts' runs, and decode runs that make these tokens of a request, from 0), or
    "every 100". A request is chosen when it matches every other field that is set, a run when one of its requests is.
    """

    runs: str = ""
    sample_rate: float = 0.0  # 0 < rate <= 1, of requests, by a hash of their ids; 0: all
    request_ids: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRule:
    """The field read. `every` 0: by kind and token; `starts` and `ends` (inclusive) are of disjoint, rising ranges."""

    every: int = 1
    prefill: bool = False
    starts: Sequence[int] = ()
    ends: Sequence[int] = ()

    def makes(self, token: int) -> bool:
        """Whether the token of this index (the first is 0) lies in one of the ranges."""
        place = bisect_right(self.starts, token) - 1
        return place >= 0 and token <= self.ends[place]


class Chooser:
    """Decides run by run, for one window and one thread."""

    def __init__(self, selection: Selection, find: Callable[[str], GenerationRequest | None] = lambda _: None) -> None:
        """`find` knows the engine's requests by id. Raises `InvalidSelection`."""
        self._rule = parse_runs(selection.runs)
        _check_requests(selection)
        self._threshold = math.ceil(selection.sample_rate * _HASHES) if selection.sample_rate else _HASHES
        self._ids = frozenset(selection.request_ids)
        self._clients = frozenset(selection.clients)
        self._all_requests = not (self._ids or self._clients) and self._threshold >= _HASHES
        self._find = find
        self._known: dict[str, tuple[GenerationRequest | None, bool]] = {}
        self._seen = 0  # of the requests that are chosen
        self.everything = self._all_requests and self._rule.every == 1

    def wants(self, kind: str, requests: Requests) -> bool:
        """Whether the run that begins now is to be captured; call it once a run."""
        if self.everything:
            return True
        rule = self._rule
        if rule.every:
            if not self._all_requests and not self._any(requests()):
                return False
            self._seen += 1
            return (self._seen - 1) % rule.every == 0
        if kind == "prefill":
            return rule.prefill and (self._all_requests or self._any(requests()))
        return bool(rule.starts) and self._makes_one(requests())

    def chooses(self, request_id: str, client: str) -> bool:
        """Whether a request of this id and client is chosen, whichever of its runs are."""
        return self._all_requests or (
            (not self._ids or request_id in self._ids)
            and (not self._clients or client in self._clients)
            and hash_of(request_id) < self._threshold
        )

    def _makes_one(self, requests: Mapping[str, int]) -> bool:
        """Whether a chosen request gets a chosen token. Most runs are done with after one comparison a request."""
        rule = self._rule
        first, last = rule.starts[0] + 1, rule.ends[-1] + 1  # requests count their tokens from 1
        for request_id, number in requests.items():
            if first <= number <= last and rule.makes(number - 1) and (self._all_requests or self._chosen(request_id)):
                return True
        return False

    def _any(self, request_ids: Iterable[str]) -> bool:
        return any(self._chosen(request_id) for request_id in request_ids)

    def _chosen(self, request_id: str) -> bool:
        """Decided once a request; an id that comes again is another request."""
        request = self._find(request_id)
        known = self._known.get(request_id)
        if known is None or known[0] is not request:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[request_id] = request, self._matches(request_id, request)
        return known[1]

    def _matches(self, request_id: str, request: GenerationRequest | None) -> bool:
        """A further choice of a request goes with the request."""
        name = request.choice_of if request is not None and request.choice_of else request_id
        return self.chooses(name, request.client if request is not None else "")


def hash_of(request_id: str) -> int:
    """0 to 2**64 - 1; the same in every pod and process, so that a request is chosen everywhere or nowhere."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "big")


def parse_runs(text: str) -> RunRule:
    """Read the field `runs`. Raises `InvalidSelection` that names the part that is wrong."""
    if not text:
        return RunRule()
    if len(text) > LONGEST_RUNS:
        raise _wrong("runs", f"has {len(text)} characters; {LONGEST_RUNS} are allowed")
    if every := _EVERY.fullmatch(text):
        return RunRule(every=int(every[1]))
    parts = text.split(",")
    if len(parts) > MOST_PARTS:
        raise _wrong("runs", f"has {len(parts)} parts; {MOST_PARTS} are allowed")
    ranges = sorted(_range(part) for part in parts if part != "prefill")
    starts, ends = _joined(ranges)
    return RunRule(0, "prefill" in parts, starts, ends)


def check(selection: Selection) -> None:
    """Raises `InvalidSelection` for one that cannot be used."""
    Chooser(selection)


def _range(part: str) -> tuple[int, int]:
    match = _TOKENS.fullmatch(part)
    if match is None:
        raise _wrong(
            "runs",
            f"has the part {part[:_SHOWN]!r}, which is none of: prefill, a token such as 7, a range such as 0-3 "
            '(without spaces, numbers of 7 digits at most); or the whole is "every N", N from 1 to 999999',
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise _wrong("runs", f"has the range {part!r}, which ends before it begins")
    return first, last


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    for first, last in ranges:
        if ends and first <= ends[-1] + 1:
            ends[-1] = max(ends[-1], last)
        else:
            starts.append(first)
            ends.append(last)
    return starts, ends


def _check_requests(selection: Selection) -> None:
    rate = selection.sample_rate
    if not (math.isfinite(rate) and 0 <= rate <= 1):
        raise _wrong("sample_rate", f"is {rate:g}; it must be more than 0 and at most 1, or 0 for all requests")
    _check_names("request_ids", selection.request_ids, _REQUEST_ID, "1 to 64 letters, digits, '-', '_' or '.'")
    _check_names("clients", selection.clients, _CLIENT, "1 to 253 printable ASCII characters without spaces")


def _check_names(field: str, names: Sequence[str], pattern: re.Pattern[str], must: str) -> None:
    if len(names) > MOST_NAMES:
        raise _wrong(field, f"has {len(names)} entries; {MOST_NAMES} are allowed")
    for number, name in enumerate(names):
        if not pattern.fullmatch(name):
            raise _wrong(field, f"has the entry {number}, {name[:_SHOWN]!r}, which must be {must}")


def _wrong(field: str, message: str) -> InvalidSelection:
    return InvalidSelection(field, message)
