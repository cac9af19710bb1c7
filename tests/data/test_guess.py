from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from fourfold.data.guess import EdgeGuess, EntityGuess, Guess, LogGuess, NoGuess, guess_file, named
from fourfold.data.sample import ColumnSample, FileSample

T = [1_700_000_000 + second for second in range(6)]
USERS, ITEMS = ["u1", "u1", "u2", "u2", "u3", "u3"], ["i1", "i2", "i1", "i2", "i1", "i1"]


def guessed(columns: Mapping[str, Sequence[object]], file: str = "a.csv") -> Guess:
    samples = tuple(ColumnSample(name, pa.array(values)) for name, values in columns.items())
    return guess_file(FileSample(Path(file), samples, len(next(iter(columns.values())))))


def log(**columns: Sequence[object]) -> LogGuess:
    guess = guessed({"user_id": USERS, "item_id": ITEMS, "ts": T, **columns})
    assert isinstance(guess, LogGuess)
    return guess


def said(guess: LogGuess) -> dict[str, object]:
    return {line.key: line.value for line in guess.lines if not line.unsure}


@pytest.mark.parametrize(
    "viewer", ["user", "userId", "USER_ID", "userid", "users", "member_id", "customer_no", "anonymous_user_id"]
)
@pytest.mark.parametrize("item", ["video_id", "movieId", "product", "article_key", "ItemID"])
def test_viewers_and_items_by_name_in_any_order(viewer: str, item: str) -> None:
    guess = guessed({item: ITEMS, "ts": T, viewer: USERS})
    assert isinstance(guess, LogGuess)
    assert (guess.viewer.name, guess.item.name, guess.time.column) == (viewer, item, "ts")
    assert not any("UNSURE" in line.why for line in guess.lines)


def test_what_only_begins_like_a_viewer_is_none() -> None:
    guess = guessed({"user_session": ["s1"] * 3 + ["s2"] * 3, "user_id": USERS, "item_id": ITEMS, "ts": T})
    assert isinstance(guess, LogGuess)
    assert guess.viewer.name == "user_id"
    assert [(line.key, line.value) for line in guess.lines if line.unsure] == [("request", "user_session")]


def test_two_candidates_are_both_named() -> None:
    guess = guessed({"user_id": USERS, "customer_id": USERS, "item_id": ITEMS, "created_at": T, "ts": T})
    assert isinstance(guess, LogGuess)
    assert said(guess) == {"viewer": "user_id", "item": "item_id", "time": {"column": "ts", "unit": "s"}}
    others = [(line.key, line.value) for line in guess.lines if line.unsure]
    assert others == [("viewer", "customer_id"), ("time", {"column": "created_at", "unit": "s"})]


def test_without_names_the_order_decides_and_is_not_sure() -> None:
    guess = guessed({"a": USERS, "b": ITEMS, "c": T})
    assert isinstance(guess, LogGuess)
    assert [(line.key, line.value, "UNSURE" in line.why) for line in guess.lines] == [
        ("viewer", "a", True),
        ("item", "b", True),
        ("time", {"column": "c", "unit": "s"}, True),
    ]


def test_flags() -> None:
    flags: list[object] = [0, 1] * 3
    guess = log(is_click=flags, is_rand=flags, is_mobile_app=flags, liked=[True, False] * 3, hidden=flags, Add_Cart=flags)
    assert [(line.key, line.value, line.unsure) for line in guess.actions] == [
        ("click", "is_click", False),
        ("rand", "is_rand", True),
        ("like", "liked", False),
        ("hide", "hidden", False),
        ("add_cart", "Add_Cart", False),
    ]
    assert [(line.key, line.value) for line in guess.context] == [("is_mobile_app", "is_mobile_app")]


@pytest.mark.parametrize(
    ("ratings", "like", "love", "dislike"), [([0.5, 5.0, 4.0], 4, 5, 2), ([1, 10, 7], 8, 10, 4), ([20, 100, 80], 80, 100, 40)]
)
def test_ratings_of_any_scale(ratings: list[float], like: float, love: float, dislike: float) -> None:
    rules = {line.key: line.value for line in log(rating=ratings * 2).actions}
    assert rules["like"] == {"column": "rating", "at_least": like, "value": "rating"}
    assert rules["love"] == {"column": "rating", "at_least": love, "value": "rating"}
    assert rules["dislike"] == {"column": "rating", "at_least": 0.0, "at_most": dislike, "value": "rating"}


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        (["view", "cart"] * 3, {"impression": "view"}),
        (["impression", "view"] * 3, {"impression": "impression"}),
        (["VIEW", "Add To Cart"] * 3, {"impression": "view", "names": {"VIEW": "view", "Add To Cart": "add_to_cart"}}),
        (["like", "share"] * 3, {}),
    ],
)
def test_a_column_of_events(events: list[object], rule: dict[str, object]) -> None:
    assert said(log(event_type=events))["action"] == {"column": "event_type"} | rule


def test_a_type_that_names_no_action_is_none() -> None:
    guess = log(music_type=["rock", "jazz"] * 3)
    assert "action" not in said(guess)
    assert [(line.key, line.unsure) for line in guess.context] == [("music_type", True)]


def test_request_position_id_and_context() -> None:
    guess = log(
        request_id=["r1"] * 3 + ["r2"] * 3,
        rank=[0, 1, 2] * 2,
        event_id=[f"e{number}" for number in range(6)],
        device=["ios", "web"] * 3,
        session=["a"] * 6,
        note=["x"] * 6,
        nested=[{"a": 1}] * 6,
        stay=[4.5, 2.5, 1.0, 4.5, 9.5, 3.5],
    )
    found = said(guess)
    assert (found["request"], found["position"], found["id"]) == ("request_id", "rank", "event_id")
    assert [line.value for line in guess.context] == ["device"]
    assert guess.unused == {
        "note": "always 'x' in the first rows",
        "nested": "holds lists or objects: make columns of them",
        "stay": "numbers from 1 to 9.5",
    }


def test_what_a_log_says_of_its_items() -> None:
    brand = {"i1": "acer", "i2": "apple"}
    guess = log(brand=[brand[item] for item in ITEMS])
    assert [attribute.column for attribute in guess.inline] == ["brand"]


def test_entities_have_a_key_and_no_log() -> None:
    guess = guessed({"movieId": list(range(6)), "title": [f"Film {n}" for n in range(6)]})
    assert isinstance(guess, EntityGuess)
    assert (guess.key.name, guess.side) == ("movieId", "item")
    guess = guessed({"name": [f"n{n}" for n in range(6)], "n": [1.5] * 6})
    assert isinstance(guess, EntityGuess)
    assert (guess.key.name, guess.side) == ("name", None)


def test_posts_with_their_author_and_a_date_are_entities_and_orders_are_a_log() -> None:
    posts: dict[str, Sequence[object]] = {"post_id": list(range(6)), "user_id": USERS, "created_at": T}
    texts = [f"what a long text this post number {n} is" for n in range(6)]
    assert isinstance(guessed({**posts, "body": texts}), EntityGuess)
    assert isinstance(guessed(posts), LogGuess)


@pytest.mark.parametrize("names", [("id_1", "id_2"), ("source", "target"), ("from_user", "to_user"), ("follower", "followee")])
def test_edges(names: tuple[str, str]) -> None:
    guess = guessed({names[0]: USERS, names[1]: ITEMS})
    assert isinstance(guess, EdgeGuess)
    assert (guess.source, guess.target, guess.time) == (*names, None)


def test_edges_may_have_a_time_and_are_told_by_the_name_of_the_file_too() -> None:
    for names, file in ((("source", "target"), "a.csv"), (("reader", "author"), "follows.csv")):
        guess = guessed({names[0]: USERS, names[1]: ITEMS, "since": ["2025-03-03T06:00:00"] * 6}, file)
        assert isinstance(guess, EdgeGuess)
        assert (guess.source, guess.target) == names
        assert guess.time is not None


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"user": USERS, "item": ITEMS, "rating": [1] * 6}, "no column is a time"),
        ({"user": USERS, "ts": T}, "needs two columns of ids"),
    ],
)
def test_what_is_missing_is_said(columns: dict[str, Sequence[object]], why: str) -> None:
    guess = guessed(columns)
    assert isinstance(guess, NoGuess)
    assert why in guess.why


@pytest.mark.parametrize(
    ("text", "name"), [("Add To Cart", "add_to_cart"), ("onehot_feat0", "onehot_feat0"), ("2nd", "c_2_nd"), ("имя", "c")]
)
def test_names(text: str, name: str) -> None:
    assert named(text) == name
