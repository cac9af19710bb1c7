"""What is kept of slates: the latest of each viewer, of so many viewers, for all threads."""

from concurrent.futures import ThreadPoolExecutor

from fourfold.pipeline.last_slates import LastSlate, RecentSlates


def test_the_latest_of_each_viewer() -> None:
    slates = RecentSlates()
    assert slates.get("m0") is None
    slates.put("m0", LastSlate(("a",), 5))
    slates.put("m0", LastSlate(("b",), 4))
    assert slates.get("m0") == LastSlate(("a",), 5)
    slates.put("m0", LastSlate(("c",), 5))
    assert slates.get("m0") == LastSlate(("c",), 5)


def test_who_has_not_asked_for_longest_makes_room() -> None:
    slates = RecentSlates(viewers=2)
    for viewer, time in (("m0", 1), ("m1", 1), ("m0", 2), ("m2", 1)):
        slates.put(viewer, LastSlate((viewer,), time))
    assert [slates.get(viewer) is not None for viewer in ("m0", "m1", "m2")] == [True, False, True]


def test_many_threads() -> None:
    slates = RecentSlates(viewers=10)
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda n: slates.put(f"m{n % 50}", LastSlate((), n)), range(2000)))
    assert sum(slates.get(f"m{n}") is not None for n in range(50)) == 10
