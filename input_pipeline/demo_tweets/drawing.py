"""Tweets drawn by a program: a face that shows a mood and a text that mostly agrees with it.

They stand in for the photos and texts of real tweets wherever those cannot be had. The mood of the
face is the truth that a student is to learn; the text, which is all that a teacher reads, names
another mood now and then, as texts and photos of real tweets do. Every tweet is a pure function of
the seed and its index.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

NOISE = 0.3
"""Share of the texts that are drawn without a look at the face, where nothing else is said."""

_MOODS = 3
_PICTURES, _TEXTS, _ORDER = range(3)
"""Streams of random numbers: what one of them draws never moves another."""

_OVERSAMPLING = 4
"""Strokes are drawn this much larger and then averaged, so that thin lines survive 32 pixels."""

_THINGS = (
    "the train ride", "the weather", "this coffee", "that meeting", "our dinner", "the concert",
    "my new phone", "the bus to work", "tonight's show", "the game", "my homework", "the garden",
    "lunch at the office", "the walk home", "breakfast", "the second episode", "our trip",
    "the new timetable", "my haircut", "the view from here",
)  # fmt: skip
_OPENINGS = ("", "", "", "@user ", "@user @user ", "RT @user: ", "just now: ", "so today: ")
_TAGS = ("", "", "", " #monday", " #photo", " #selfie", " #nofilter", " #latergram", " #tuesday")
_LINK_LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

# By mood: negative, neutral, positive.
_SENTENCES = (
    ("{thing} was {word}", "{word}, just {word}: {thing}", "feeling {word} about {thing}",
     "{thing} makes me feel {word}", "why is {thing} so {word}", "how {word} is {thing}"),
    ("{thing} {word}", "a picture of {thing} {word}", "{thing}, as seen {word}",
     "{word}: {thing}", "who else has {thing} {word}", "back to {thing} {word}"),
    ("{thing} was {word}", "{word}, just {word}: {thing}", "feeling {word} about {thing}",
     "{thing} makes me feel {word}", "{thing} is so {word} today", "how {word} is {thing}"),
)  # fmt: skip
_WORDS = (
    ("awful", "terrible", "horrible", "miserable", "sad", "bad", "dreadful", "lousy", "tragic",
     "depressing", "pathetic", "ugly"),
    ("at noon", "on monday", "before work", "in the afternoon", "around seven", "this week",
     "by the window", "after class", "in town", "at the corner", "once again", "at half past two"),
    ("great", "wonderful", "lovely", "amazing", "happy", "good", "fantastic", "awesome",
     "brilliant", "beautiful", "delightful", "fabulous"),
)  # fmt: skip
_ENDINGS = (
    ("", "", " :(", " 😢", " 😡", " #fail", " #sad", " #worst", "..."),
    ("", "", ".", " 📷", " 🕐", " 🚌", " #today", " #daily", "..."),
    ("", "", " :)", " 😊", " 😍", " #love", " #happy", " #best", "!!"),
)


@dataclasses.dataclass(frozen=True)
class DemoTweet:
    """A drawn tweet with one photo.

    Attributes:
      id: 19 digits, unique over seeds and indices below a billion.
      text: what a teacher reads.
      mood: what the face shows: 0 negative, 1 neutral, 2 positive.
      image: uint8 [size, size, 3], RGB.
    """

    id: str
    text: str
    mood: int
    image: np.ndarray


def draw_face(rng: np.random.Generator, mood: int, size: int) -> np.ndarray:
    """Draws a frown, a flat mouth or a smile, uint8 [size, size, 3].

    Only the bend of the mouth depends on the mood; colours, place, size, tilt, proportions, stroke
    and grain are drawn alike for all moods.
    """
    side = size * _OVERSAMPLING
    background, skin, line = (
        rng.integers(low, high, 3).tolist() for low, high in ((0, 256), (140, 256), (0, 70))
    )
    centre = side * rng.uniform(0.44, 0.56, 2)
    radii = side * rng.uniform(0.33, 0.43) * rng.uniform(0.9, 1.0, 2)
    tilt = rng.uniform(-0.2, 0.2)
    stroke = max(1, round(side * rng.uniform(0.035, 0.06)))
    rotation = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """From face units, where the head is the unit circle and y points down, to pixels."""
        return np.rint(np.stack([x, y], 1) * radii @ rotation.T + centre).astype(np.int32)

    canvas = np.full((side, side, 3), background, np.uint8)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    head = place(np.cos(turn), np.sin(turn))
    cv2.fillPoly(canvas, [head], skin)
    cv2.polylines(canvas, [head], True, line, stroke)

    gap, height, eye = rng.uniform(0.3, 0.45), rng.uniform(0.2, 0.35), rng.uniform(0.09, 0.16)
    for x in (-gap, gap):
        outline = place(x + eye * np.cos(turn), -height + eye * np.sin(turn))
        cv2.fillPoly(canvas, [outline], line)

    width, low = rng.uniform(0.42, 0.6), rng.uniform(0.36, 0.48)
    bend = (mood - 1) * rng.uniform(0.3, 0.45) + rng.uniform(-0.03, 0.03)
    across = np.linspace(-1, 1, 17)
    mouth = place(width * across, low + bend * (0.5 - across**2))
    cv2.polylines(canvas, [mouth], False, line, stroke)

    image = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    grain = rng.normal(0, rng.uniform(0, 6), image.shape)
    return np.rint(image + grain).clip(0, 255).astype(np.uint8)


def write_text(rng: np.random.Generator, mood: int) -> str:
    """Writes a short tweet whose wording has the mood."""

    def pick(options: tuple[str, ...]) -> str:
        return options[rng.integers(len(options))]

    sentence = pick(_SENTENCES[mood]).format(thing=pick(_THINGS), word=pick(_WORDS[mood]))
    text = pick(_OPENINGS) + sentence + pick(_ENDINGS[mood]) + pick(_TAGS)
    if rng.random() < 0.5:
        text += " https://t.co/" + "".join(pick(_LINK_LETTERS) for _ in range(10))
    return text


def draw_tweets(
    count: int,
    *,
    seed: int,
    size: int = 32,
    text_noise: float = NOISE,
    confusion: np.ndarray | None = None,
    shuffle_texts: bool = False,
) -> Iterator[DemoTweet]:
    """Draws tweets 0 to `count` - 1 of a seed, moods uniform.

    Args:
      text_noise: share of the texts whose mood is drawn anew, without a look at the face.
      confusion: instead of it, P(mood of the text j | mood of the face i) at [i, j], float [3, 3].
      shuffle_texts: permutes the texts over the whole set and leaves the pictures as they are. It
        is the control: nothing about a face can then be learnt from its text.
    """
    cumulated = None if confusion is None else np.cumsum(confusion, axis=1)
    order = np.arange(count)
    if shuffle_texts:
        np.random.default_rng([seed, 0, _ORDER]).shuffle(order)
    for index in range(count):
        rng = np.random.default_rng([seed, index, _PICTURES])
        mood = int(rng.integers(_MOODS))
        image = draw_face(rng, mood, size)
        text = _text(seed, int(order[index]), text_noise, cumulated)
        yield DemoTweet(f"1{seed % 10**9:09d}{index:09d}", text, mood, image)


def _text(seed: int, index: int, text_noise: float, cumulated: np.ndarray | None) -> str:
    """The text of a tweet; its face's mood is the first draw of the stream of pictures."""
    mood = int(np.random.default_rng([seed, index, _PICTURES]).integers(_MOODS))
    rng = np.random.default_rng([seed, index, _TEXTS])
    drawn = rng.random()
    if cumulated is not None:
        # The last sum may be a little below 1.
        mood = min(int(np.searchsorted(cumulated[mood], drawn, side="right")), _MOODS - 1)
    elif drawn < text_noise:
        mood = int(rng.integers(_MOODS))
    return write_text(rng, mood)
