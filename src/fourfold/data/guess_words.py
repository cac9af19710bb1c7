"""Words in the names of columns, and what they usually say: lists, because there is no rule."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VIEWERS = _words("user member viewer customer visitor account person subscriber client listener reader player uid profile")
"""Who something was shown to."""

ITEMS = _words(
    "item product video movie film post article song track book content sku listing game recipe news photo story document "
    "doc job asin podcast show page ad pin clip"
)
"""What was shown."""

KEYS = _words("id key uuid guid hash hashed anonymous anon pk no number code name")
"""What may stand beside the name of an entity in the name of its id."""

ACTIONS = _words(
    "click clicked like liked love dislike disliked follow followed comment commented forward share shared hate save saved "
    "buy bought purchase purchased order ordered cart add install installed open opened read watch watched finish finished "
    "play played hide hidden report reported dwell enter subscribe subscribed reply replied repost retweet favorite "
    "favourite bookmark bookmarked view viewed download downloaded skip skipped complete completed convert converted apply "
    "applied vote upvote downvote block blocked"
)
"""What viewers do."""

EVENTS = _words("event action type behavior behaviour activity verb interaction kind")
"""A column that says what happened in each row."""

RATINGS = _words("rating ratings stars score grade rate")
"""How much something was liked."""

POSITIONS = _words("position pos rank slot place")
"""Where in a list something was shown."""

REQUESTS = _words("request query slate")
"""What was shown at once."""

SESSIONS = _words("session visit")
"""What was shown in a row, in one list or several."""

LINKS = _words("follow follows friend friends edge edges link links connection connections network graph")
"""Names of files of links."""

CONTEXT = _words(
    "tab device platform os country region city locale language lang channel app browser network placement referrer referer "
    "source medium campaign hour weekday screen client version"
)
"""What is known of a request."""

CREATED = _words("created create creation upload uploaded published publish release released registered signup")
"""When an entity came to be."""

TIMES = _words("time timestamp ts datetime when at occurred timems timeus epoch")
"""A time at which something happened."""

DATES = _words("date day dt created updated upload uploaded published release released last first login seen")
"""Other times."""

UNITS = _words("ms us ns sec seconds millis")
"""What ends the name of a number that may be a time."""

CATEGORIES = _words("id code cat category type onehot zip postal group class level status")
"""Numbers that are no quantities."""

TEXTS = _words("title name headline description text summary caption body subtitle")
"""Text for people."""

PASTS = _words("seq sequence history ids list events")
"""Lists of what happened."""

PARTICIPLES = {"hidden": "hide", "bought": "buy", "applied": "apply", "replied": "reply"}
"""What no rule makes a verb of."""

SHOWN = ("impression", "impressions", "exposure", "shown", "show", "served", "display", "displayed", "imp", "view", "page_view")
"""Names of events that mean that an item was shown, the clearest first."""

ENDS = (("source", "target"), ("from", "to"), ("src", "dst"), ("follower", "followee"), ("follower", "followed"))
"""The two ends of a link."""
