"""KuaiRand-Pure (Gao et al., CIKM 2022): impressions of short videos with many signals, as CSV or as Parquet.

Columns and meaning: https://kuairand.com. Where the file of earlier exposures is there, it is read too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fourfold.data.columns import Faults, Mask, ids, numbers
from fourfold.data.entities import AttributeColumn, EntityColumns, Kind
from fourfold.data.files import chunks
from fourfold.data.interactions import ActionRule, InteractionColumns, TimeColumn
from fourfold.data.ordering import in_time_order
from fourfold.data.reading import DataError, ReadBatch, joined
from fourfold.data.tabular import EntityFile, LogFile, TabularReader
from fourfold.events.types import Details, EventKind, columns_batch, encode_details

NAME = "kuairand"
LOGS, USERS, VIDEOS, BEFORE = (
    "log_standard_*",
    "user_features_pure",
    "video_features_basic_pure",
    "user_sequences_before_*",
)

_FLAGS = {
    "click": "is_click",
    "long_view": "long_view",
    "like": "is_like",
    "follow": "is_follow",
    "comment": "is_comment",
    "forward": "is_forward",
    "hate": "is_hate",
    "profile_enter": "is_profile_enter",
}
_WATCHED = (
    ActionRule(name="watch_half", column="play_time_ms", per="duration_ms", at_least=0.5),
    ActionRule(name="watch_most", column="play_time_ms", per="duration_ms", at_least=0.9),
    ActionRule(name="watch_20s", column="play_time_ms", at_least=20_000),
)
"""How long a video was watched, in steps: not an aim in itself, but a ranker that must tell them apart orders clicks better."""

_PLAYED = {"click", "long_view"}
_LISTED = {"long_view": "long_watch_seq", "like": "like_seq"}
"""Of which actions the earlier exposures tell, and in which list of items."""

USER_CATEGORIES = (
    "user_active_degree",
    "is_video_author",
    "follow_user_num_range",
    "fans_user_num_range",
    "friend_user_num_range",
    "register_days_range",
    *(f"onehot_feat{number}" for number in range(18)),
)
USER_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")


@dataclass(frozen=True, kw_only=True)
class KuaiRandReader:
    """Reads the log, and before it the earlier exposures, one second apart and the last at the member's `last_time_ms`."""

    tables: TabularReader
    before: Path | None
    surface: str
    name: str = NAME

    def batches(self) -> Iterator[ReadBatch]:
        """Videos and members, then the earlier exposures, then the log."""
        log_start = self.tables.first_time
        yield from self.tables.upserts(self._start(log_start) - 1)
        yield from in_time_order(self._before(log_start))
        yield from in_time_order(self.tables.timed())

    def _start(self, log_start: int) -> int:
        starts = [log_start]
        for chunk in chunks(self.before, ["last_time_ms", "watch_seq"]) if self.before else ():
            seconds = pc.max(pc.list_value_length(chunk.rows.column("watch_seq"))).as_py() or 0
            starts.append(int(_ends(chunk.rows, log_start).min()) - 1_000 * seconds)
        return min(starts)

    def _before(self, log_start: int) -> Iterator[ReadBatch]:
        if self.before is None:
            return
        columns = ["user_id", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq"]
        for chunk in chunks(self.before, columns):
            faults = Faults(len(chunk.rows))
            ids(chunk.rows.column("user_id"), "user_id", faults)
            known = chunk.rows.filter(pa.array(faults.kept))
            yield ReadBatch(events=_exposures(known, log_start, self.surface), rejected=faults.rejected(chunk))


def kuairand_reader(folder: Path, *, surface: str = "feed", with_prehistory: bool = True) -> KuaiRandReader:
    """A reader of a KuaiRand-Pure folder.

    Parameters
    ----------
    folder : Path
        Holds ``log_standard_*``, ``user_features_pure`` and ``video_features_basic_pure``, as .csv or .parquet.
    surface : str
        The surface that the events carry.
    with_prehistory : bool
        Whether to read ``user_sequences_before_*.parquet`` where it is there: only its long views and likes are known.

    Raises
    ------
    DataError
        If a file is missing; the message lists what was expected and what was found.
    """
    found = {stem: _tables(folder, stem) for stem in (LOGS, USERS, VIDEOS)}
    missing = [stem for stem, paths in found.items() if not paths]
    if missing:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no such folder"
        expected = ", ".join(f"{stem}.csv (or .parquet)" for stem in found)
        raise DataError(f"{folder} lacks {', '.join(missing)}; expected {expected}; found {there or 'nothing'}")
    before = _tables(folder, BEFORE) if with_prehistory else []
    tables = TabularReader(
        name=NAME,
        entities=(_videos(found[VIDEOS][0]), EntityFile(path=found[USERS][0], columns=_users())),
        logs=tuple(LogFile(path=path, columns=_log(surface)) for path in found[LOGS]),
    )
    return KuaiRandReader(tables=tables, before=before[0] if before else None, surface=surface)


def kuairand_log(path: Path, *, surface: str = "feed") -> TabularReader:
    """A reader of one log file with the columns of ``log_standard_*``: its members and videos are known elsewhere."""
    return TabularReader(name=NAME, logs=(LogFile(path=path, columns=_log(surface)),))


def _tables(folder: Path, stem: str) -> list[Path]:
    return [path for suffix in ("parquet", "csv") for path in sorted(folder.glob(f"{stem}.{suffix}"))]


def _log(surface: str) -> InteractionColumns:
    rules = tuple(
        ActionRule(name=name, column=column, value="play_time_ms" if name in _PLAYED else None)
        for name, column in _FLAGS.items()
    )
    time = TimeColumn(column="time_ms", unit="ms")
    rules += _WATCHED
    return InteractionColumns(
        surface=surface, viewer="user_id", item="video_id", time=time, rules=rules, context={"tab": "tab"}
    )


def _users() -> EntityColumns:
    attributes = [AttributeColumn(name=name, column=name) for name in USER_CATEGORIES]
    attributes += [AttributeColumn(name=name, column=name, kind="number") for name in USER_NUMBERS]
    return EntityColumns(type="member", key="user_id", attributes=tuple(attributes))


def _videos(path: Path) -> EntityFile:
    kinds: dict[str, tuple[str, Kind]] = {
        "author": ("author_id", "category"),
        "music": ("music_id", "category"),
        "music_type": ("music_type", "category"),
        "upload_type": ("upload_type", "category"),
        "video_type": ("video_type", "category"),
        "tag": ("first_tag", "category"),
        "duration_ms": ("video_duration", "number"),
        "words": ("words", "text"),
    }
    attributes = [AttributeColumn(name=name, column=column, kind=kind) for name, (column, kind) in kinds.items()]
    attributes.append(AttributeColumn(name="length", column="length"))
    attributes.append(AttributeColumn(name="tags", column="tag", split=","))
    attributes.append(AttributeColumn(name="created", column="upload_dt", kind="moment", format="%Y-%m-%d"))
    columns = EntityColumns(type="post", key="video_id", attributes=tuple(attributes))
    read = tuple(column for column in columns.wanted() if column not in {"first_tag", "words", "length"})
    return EntityFile(path=path, columns=columns, read=read, derive=_derived)


def _derived(rows: pa.RecordBatch) -> pa.RecordBatch:
    return _with_length(_with_tags(rows))


def _with_length(rows: pa.RecordBatch) -> pa.RecordBatch:
    """With the length as a category: half powers of two of its seconds, so that short and long ones can be told apart."""
    seconds = pc.divide(numbers(rows.column("video_duration")), 1_000.0)
    steps = pc.round(pc.multiply(2.0, pc.log2(pc.if_else(pc.greater(seconds, 0.5), seconds, None))))
    return rows.append_column("length", steps.cast(pa.int32()).cast(pa.string()))


def _with_tags(rows: pa.RecordBatch) -> pa.RecordBatch:
    tag = rows.column("tag").cast(pa.string())
    first = pc.extract_regex(tag, r"^(?P<tag>[^,]*)").field("tag")
    tags = pc.binary_join_element_wise("tag", pc.replace_substring(tag, ",", " tag"), "")
    upload = rows.column("upload_type").cast(pa.string()).fill_null("")
    words = pc.binary_join_element_wise(tags.fill_null(""), upload, " ")
    return rows.append_column("first_tag", first).append_column("words", words)


def _exposures(rows: pa.RecordBatch, log_start: int, surface: str) -> pa.RecordBatch:
    """Undated impressions of the earlier exposures of some members, and their long views and likes: all that is known."""
    users, items, index, lengths = _flat(rows, "watch_seq")
    times = np.repeat(_ends(rows, log_start), lengths) - 1_000 * (np.repeat(lengths, lengths) - 1 - index)
    keys = pc.binary_join_element_wise(
        f"{NAME}:before", pa.array(users).cast(pa.string()), pa.array(index).cast(pa.string()), ":"
    )
    shown = pa.table({"id": keys, "subject": users, "object": items, "time": times})
    details = encode_details(Details(known=list(_LISTED), undated=True))
    shown = shown.append_column("attributes", pa.repeat(pa.scalar(details, pa.binary()), len(shown)))
    parts = [_part(shown, EventKind.IMPRESSION, surface, None)]
    for name, column in _LISTED.items():
        done = _matched(users, items, *_flat(rows, column)[:2])
        parts.append(_part(shown.filter(pa.array(done)), EventKind.ACTION, surface, name))
    return joined(parts)


def _ends(rows: pa.RecordBatch, log_start: int) -> NDArray[np.int64]:
    last = rows.column("last_time_ms").fill_null(log_start).to_numpy(zero_copy_only=False)
    ends: NDArray[np.int64] = np.minimum(last, log_start - 1_000)
    return ends


def _flat(rows: pa.RecordBatch, column: str) -> tuple[NDArray[np.int64], ...]:
    lists = rows.column(column)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    users = np.repeat(rows.column("user_id").cast(pa.int64()).to_numpy(zero_copy_only=False), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return users, lists.flatten().to_numpy(zero_copy_only=False), np.arange(len(users)) - starts, lengths


def _matched(
    users: NDArray[np.int64], items: NDArray[np.int64], done_users: NDArray[np.int64], done_items: NDArray[np.int64]
) -> Mask:
    """Which exposures the listed signals belong to: with n signals of an item, its last n exposures.

    The lists of signals go further back than the list of exposures, so they are matched from the end.
    """
    pairs = np.stack([np.concatenate([users, done_users]), np.concatenate([items, done_items])], axis=1)
    codes = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    exposed, signals = codes[: len(users)], np.bincount(codes[len(users) :], minlength=int(codes.max(initial=0)) + 1)
    order = np.argsort(exposed, kind="stable")
    grouped = exposed[order]
    from_end = np.searchsorted(grouped, grouped, side="right") - 1 - np.arange(len(grouped))
    matched = np.zeros(len(users), bool)
    matched[order] = from_end < signals[grouped]
    return matched


def _part(rows: pa.Table, kind: EventKind, surface: str, action: str | None) -> pa.RecordBatch:
    columns = {name: rows.column(name) for name in ("id", "subject", "object", "time")}
    if action is None:
        columns["attributes"] = rows.column("attributes")
    else:
        columns["id"] = pc.binary_join_element_wise(columns["id"], action, ":")
        columns["name"] = pa.repeat(action, len(rows))
    columns |= {"kind": pa.repeat(int(kind), len(rows)), "surface": pa.repeat(surface, len(rows))}
    return columns_batch(columns, len(rows))
