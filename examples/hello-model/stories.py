"""The grammar of the little stories: heroes, places, finds and what happens with them. All text is written here.

A hero prefers one place, find and ending (seven times in ten), so greedy decoding tells another story for each hero,
and sampling still has choices. In the endless form each story ends with the next hero coming by: a ring of all heroes.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")

HEROES = [
    ("Mia", "fox"),
    ("Leo", "bear"),
    ("Nora", "owl"),
    ("Tom", "mouse"),
    ("Ada", "hare"),
    ("Ben", "badger"),
    ("Ivy", "squirrel"),
    ("Max", "hedgehog"),
    ("Zoe", "otter"),
    ("Sam", "frog"),
    ("Lily", "duck"),
    ("Hugo", "wolf"),
    ("Emma", "deer"),
    ("Finn", "beaver"),
    ("Ruby", "robin"),
    ("Otto", "mole"),
    ("Clara", "cat"),
    ("Jack", "dog"),
    ("Rosa", "goose"),
    ("Paul", "turtle"),
    ("Anna", "lamb"),
    ("Felix", "raven"),
    ("Greta", "goat"),
    ("Oscar", "snail"),
]
PLACES = [
    "the old forest",
    "the quiet lake",
    "the green hill",
    "the long beach",
    "the stone bridge",
    "the apple garden",
    "the little village",
    "the tall tower",
    "the dark cave",
    "the windy mountain",
    "the wide river",
    "the flower field",
    "the harbour",
]
TIMES = [
    "One morning",
    "One evening",
    "One summer day",
    "One winter night",
    "One rainy day",
    "One bright afternoon",
    "Early one day",
]
ADJECTIVES = ["small", "shiny", "strange", "old", "golden", "blue", "wonderful", "heavy", "broken", "secret", "red"]
# A find and the two things that can happen with it.
FINDS = [
    ("lantern", "{n} lit it, and the whole place began to glow.", "It showed {n} a path that nobody had seen before."),
    ("key", "{n} looked for its door and found one behind a tree.", "It opened a tiny box full of letters."),
    ("map", "{n} followed it from stone to stone until noon.", "It led {n} to a hidden well with sweet water."),
    ("bell", "{n} rang it, and all the birds answered.", "It rang by itself whenever somebody was kind."),
    ("boat", "{n} sat down in it and drifted under the clouds.", "It carried {n} slowly to the other side."),
    ("kite", "{n} held the string, and the wind did the rest.", "It flew so high that it touched a cloud."),
    ("book", "{n} read it aloud, and the trees listened.", "It told the story of a brave little star."),
    ("drum", "{n} played it, and everybody came to dance.", "It sounded like rain on a warm roof."),
    ("seed", "{n} put it into the earth and sang to it.", "It grew into a tree with silver leaves."),
    ("mirror", "{n} looked into it and saw the sea.", "It showed {n} a friend who was far away."),
    ("hat", "{n} put it on and felt very important.", "It was big enough for two to sleep in."),
    ("clock", "{n} turned it back, and the day began again.", "It only counted the happy hours."),
    ("feather", "{n} blew, and it danced in the air.", "It tickled {n} until both of them laughed."),
    ("coin", "{n} threw it into the water and made a wish.", "It bought warm bread for everyone."),
    ("basket", "{n} filled it with berries and nuts.", "It never became empty, however much they ate."),
    ("flute", "{n} played a slow song for the moon.", "It knew every song in the world."),
    ("stone", "{n} warmed both hands on it.", "It shone in the dark like a little sun."),
]
FEELINGS = [
    "{n} was happy and a little bit proud.",
    "{n} laughed for a long time.",
    "Nobody was afraid any more.",
    "It was the best day of the year.",
    "{n} decided to remember this for ever.",
    "Everything smelled of honey and grass.",
    "Then {n} sat down and drank some tea.",
    "{n} wanted to share it with a friend.",
    "Far away, somebody was singing.",
]
LIKELY = 0.7


def tell(rng: random.Random, hero: int) -> str:
    """Four or five sentences about the hero with this index, without an ending."""
    name, animal = HEROES[hero]

    def choose(options: Sequence[Option], stride: int, shift: int = 0) -> Option:
        preferred = options[(hero * stride + shift) % len(options)]
        return preferred if rng.random() < LIKELY else rng.choice(options)

    find, *happenings = choose(FINDS, 5, 3)
    time, place = choose(TIMES, 3), choose(PLACES, 5, 1)
    adjective, feeling = choose(ADJECTIVES, 4), choose(FEELINGS, 2)
    article = "an" if adjective[0] in "aeiou" else "a"
    happening = happenings[hero % 2] if rng.random() < LIKELY else rng.choice(happenings)
    return " ".join(
        [
            f"{time}, {name} the {animal} went to {place}.",
            f"There {name} found {article} {adjective} {find}.",
            happening.format(n=name),
            feeling.format(n=name),
        ]
    )


def short_story(rng: random.Random, hero: int) -> str:
    """One story of five sentences that says when it is over."""
    return f"{tell(rng, hero)} The end."


def endless_stories(rng: random.Random, hero: int, count: int) -> str:
    """A chain of `count` stories; each ends by naming the hero of the next, and none says that it is the last."""
    parts = []
    for index in range(hero, hero + count):
        friend, animal = HEROES[(index + 1) % len(HEROES)]
        parts.append(f"{tell(rng, index % len(HEROES))} Then {friend} the {animal} came by, and a new story began.\n\n")
    return "".join(parts)
