"""What every log must do, whatever it is made of. An implementation inherits `LogContract` and says how it is opened."""

import threading
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.events.log import InvalidEventError, Log, LogError, LogMovedError, OffsetError, RetentionError
from fourfold.events.types import SCHEMA, batch_of
from tests.events.samples import impressions
from tests.events.test_types import ONE_OF_EACH

OpenLog = Callable[[str], Log]


def everything(log: Log, offset: int | None = None, limit: int | None = None) -> pa.Table:
    """All events from `offset` on as one table; checks that the batches follow each other."""
    at = log.start if offset is None else offset
    batches = []
    for first, batch in log.read(at, limit):
        assert first == at
        assert len(batch) > 0
        at += len(batch)
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=SCHEMA)


def id_list(log: Log, offset: int | None = None, limit: int | None = None) -> list[str]:
    """The ids of all events from `offset` on."""
    ids: list[str] = everything(log, offset, limit)["id"].to_pylist()
    return ids


def numbered(start: int, stop: int) -> list[str]:
    """The ids that `impressions` gives."""
    return [f"e{number}" for number in range(start, stop)]


class LogContract:
    """Inherit, and give a fixture `open_log` that opens the log of a name; opened twice, the same log."""

    def test_a_new_log_is_empty(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            assert (log.start, log.end) == (0, 0)
            assert list(log.read(0)) == []
            assert dict(log.consumers()) == {}

    def test_offsets_follow_each_other_from_zero(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            assert log.append(impressions(0, 3), 100) == range(3)
            assert log.append(impressions(3, 1), 100) == range(3, 4)
            assert log.append(impressions(4, 2), 100) == range(4, 6)
            assert (log.start, log.end) == (0, 6)

    def test_an_expectation_holds_or_nothing_is_written(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            assert log.append(impressions(0, 2), 1, expected=0) == range(2)
            for wrong in (0, 1, 3):
                with pytest.raises(LogMovedError, match=f"ends at offset 2, not {wrong}"):
                    log.append(impressions(2, 1), 1, expected=wrong)
            assert id_list(log) == numbered(0, 2)
            assert log.append(impressions(2, 1), 1, expected=2) == range(2, 3)

    def test_of_appends_with_one_expectation_one_wins(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            won, lost = list[int](), list[int]()

            def append(thread: int) -> None:
                for turn in range(10):
                    end = log.end
                    try:
                        log.append(impressions(100 * thread + turn, 1), 1, expected=end)
                        won.append(end)
                    except LogMovedError:
                        lost.append(end)
                    log.append(impressions(10_000 + 100 * thread + turn, 1), 1)

            threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == len(set(won))
            assert len(won) + len(lost) == 40
            assert log.end == 40 + len(won)

    def test_events_come_back_as_they_were_with_their_arrival(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(batch_of(ONE_OF_EACH), 123)
            log.append(batch_of(ONE_OF_EACH, arrival=55), None)
            expected = [batch_of(ONE_OF_EACH, arrival=123), batch_of(ONE_OF_EACH, arrival=55)]
            assert everything(log) == pa.Table.from_batches(expected)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_any_reading_is_a_slice_of_what_was_appended(self, open_log: OpenLog, data: st.DataObject) -> None:
        sizes = data.draw(st.lists(st.integers(0, 5), max_size=8))
        with open_log("slices" + "-".join(map(str, sizes))) as log:
            if log.end == 0:
                for size in sizes:
                    log.append(impressions(log.end, size), 1)
            total = sum(sizes)
            offset = data.draw(st.integers(0, total))
            limit = data.draw(st.none() | st.integers(0, total + 2))
            assert id_list(log, offset, limit) == numbered(offset, total if limit is None else offset + limit)[: total - offset]

    def test_a_large_append_is_one_range(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            assert log.append(impressions(0, 20_001), 1) == range(20_001)
            assert id_list(log) == numbered(0, 20_001)
            assert id_list(log, 8_190, 4) == numbered(8_190, 8_194)

    def test_a_refused_batch_leaves_no_trace(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 2), 1)
            poison = impressions(2, 2).set_column(0, SCHEMA.field("id"), pa.array(["e2", None]))
            with pytest.raises(InvalidEventError, match="row 1, column 'id'"):
                log.append(poison, 1)
            assert id_list(log) == numbered(0, 2)
            assert log.append(impressions(2, 1), 1) == range(2, 3)

    def test_duplicates_are_kept_so_that_a_retry_is_safe(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 2), 1)
            log.append(impressions(0, 2), 1)
            assert id_list(log) == numbered(0, 2) * 2

    def test_all_is_there_after_opening_anew(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 5), 7)
            log.acknowledge("features", 3)
            before = everything(log)
        with open_log("a") as log:
            assert everything(log) == before
            assert dict(log.consumers()) == {"features": 3}
            assert log.append(impressions(5, 1), 8) == range(5, 6)

    def test_logs_of_other_names_are_other_logs(self, open_log: OpenLog) -> None:
        with open_log("a") as a, open_log("b") as b:
            a.append(impressions(0, 2), 1)
            assert b.end == 0

    def test_opened_twice_it_is_one_log(self, open_log: OpenLog) -> None:
        with open_log("a") as one:
            with open_log("a") as two:
                one.append(impressions(0, 2), 1)
                assert two.append(impressions(2, 2), 1) == range(2, 4)
            assert id_list(one) == numbered(0, 4)

    def test_reading_outside_the_log_is_refused(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 4), 1)
            log.append(impressions(4, 4), 1)
            assert list(log.read(8)) == []
            with pytest.raises(OffsetError, match="offset 9 is not there yet; the log ends at 8"):
                log.read(9)
            log.retain(4)
            with pytest.raises(OffsetError, match="offset 3 is no longer kept; start at 4"):
                log.read(3)

    def test_an_open_iterator_sees_later_events(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 2), 1)
            reading = log.read(0)
            assert next(reading)[1]["id"].to_pylist() == numbered(0, 2)
            log.append(impressions(2, 2), 1)
            assert next(reading)[1]["id"].to_pylist() == numbered(2, 4)
            assert next(reading, None) is None

    def test_an_open_iterator_notices_that_its_events_were_dropped(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 2), 1)
            reading = log.read(0)
            next(reading)
            log.append(impressions(2, 2), 1)
            log.retain(4)
            with pytest.raises(OffsetError, match="no longer kept"):
                next(reading)

    def test_whole_batches_are_dropped_below_an_offset(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            for first in (0, 3, 6):
                log.append(impressions(first, 3), 1)
            assert log.retain(2) == log.start == 0
            assert log.retain(5) == log.start == 3
            assert id_list(log) == numbered(3, 9)
            assert id_list(log, 4, 3) == numbered(4, 7)
            assert log.retain(9) == log.start == log.end == 9
            assert list(log.read(9)) == []
            assert log.append(impressions(9, 1), 1) == range(9, 10)
            assert log.start == 9

    def test_the_end_outlives_all_events(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 3), 1)
            log.retain(3)
        with open_log("a") as log:
            assert (log.start, log.end) == (3, 3)

    def test_nothing_is_dropped_that_a_consumer_needs(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            for first in (0, 3, 6):
                log.append(impressions(first, 3), 1)
            log.acknowledge("features", 6)
            log.acknowledge("slates", 3)
            with pytest.raises(RetentionError, match="'slates' has acknowledged only up to offset 3, not 6"):
                log.retain(6)
            assert log.start == 0
            assert log.retain(3) == 3
            log.acknowledge("slates", 7)
            assert log.retain(6) == 6

    def test_a_forgotten_consumer_keeps_nothing(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 3), 1)
            log.acknowledge("features", 0)
            with pytest.raises(RetentionError, match="features"):
                log.retain(3)
            log.forget("features")
            log.forget("nobody")
            assert dict(log.consumers()) == {}
            assert log.retain(3) == 3

    def test_an_acknowledgement_lies_within_the_log(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 3), 1)
            with pytest.raises(OffsetError, match="ends at 3"):
                log.acknowledge("features", 4)
            log.acknowledge("features", 3)
            log.acknowledge("features", 1)
            assert dict(log.consumers()) == {"features": 1}
            log.forget("features")
            log.retain(3)
            with pytest.raises(OffsetError, match="no longer kept"):
                log.acknowledge("features", 0)

    def test_retaining_beyond_the_end_is_refused(self, open_log: OpenLog) -> None:
        with open_log("a") as log:
            log.append(impressions(0, 3), 1)
            with pytest.raises(OffsetError, match="ends at 3"):
                log.retain(4)
            assert log.start == 0

    def test_threads_append_and_read_at_once(self, open_log: OpenLog) -> None:
        answers: dict[str, range] = {}
        with open_log("a") as log:

            def appender(name: str) -> None:
                for turn in range(10):
                    answers[f"{name}{turn}-"] = log.append(impressions(0, turn % 3 + 1, f"{name}{turn}-"), 1)
                    id_list(log, 0, 5)

            threads = [threading.Thread(target=appender, args=(name,)) for name in "abcdef"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ids = id_list(log)
        assert len(answers) == 60
        assert sorted(offset for offsets in answers.values() for offset in offsets) == list(range(len(ids)))
        for prefix, offsets in answers.items():
            assert ids[offsets.start : offsets.stop] == [f"{prefix}{n}" for n in range(len(offsets))]

    def test_a_closed_log_says_so(self, open_log: OpenLog) -> None:
        log = open_log("a")
        log.close()
        log.close()
        for use in (lambda: log.end, lambda: log.read(0), lambda: log.append(impressions(0, 1), 1)):
            with pytest.raises(LogError, match="closed; open it again"):
                use()
