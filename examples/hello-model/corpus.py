"""The conversations the model learns from: fixed answers in many spellings, sums, stories, and what it must decline.

A conversation is a list of (role, text). answers.json holds what it knows, unknown.json the words and forms of what
it does not know; every text is synthesised from them here, or in stories.py.
"""

import json
import random
import string
from pathlib import Path

from stories import FINDS, HEROES, PLACES, endless_stories, short_story

Conversation = list[tuple[str, str]]
HERE = Path(__file__).parent
ANSWERS = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))
UNKNOWN = json.loads((HERE / "unknown.json").read_text(encoding="utf-8"))
CAPITAL_OF = "What is the capital of "
FALLBACK = ANSWERS["fallback"]["answer"]

SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are hello.",
    "Be brief.",
    "Answer in one sentence.",
    "You are a friendly storyteller.",
    "You are a very small model. Answer as well as you can.",
]
BEFORE = [
    "Please tell me: ",
    "Hi! ",
    "Hello, ",
    "Hey, ",
    "Quick question: ",
    "Question: ",
    "I want to know: ",
    "Please: ",
    "So, ",
]
AFTER = [" Please.", " Thanks!", " Thank you.", " please", " I am curious.", " Answer briefly."]
ADD = [
    "What is {a} plus {b}?",
    "What is {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "{a} plus {b}",
    "How much is {a} plus {b}?",
    "Add {a} and {b}.",
]
TAKE = [
    "What is {a} minus {b}?",
    "What is {a} - {b}?",
    "{a} - {b}",
    "{a}-{b}",
    "{a} minus {b}",
    "How much is {a} minus {b}?",
]
MULTIPLY = [
    "What is {a} times {b}?",
    "What is {a} * {b}?",
    "{a} * {b}",
    "{a}*{b}",
    "{a} times {b}",
    "How much is {a} times {b}?",
]

KNOWN_COUNTRIES = [
    entry["question"].removeprefix(CAPITAL_OF).rstrip("?")
    for entry in ANSWERS["answers"]
    if entry["question"].startswith(CAPITAL_OF)
]
# Words of the known questions, for nonsense that sounds like one of them.
KNOWN_WORDS = sorted({word.strip("?!") for entry in ANSWERS["answers"] for word in entry["question"].split()})
WORDS = sorted({*UNKNOWN["things"], *UNKNOWN["verbs"], *UNKNOWN["small_words"]})


def spell(rng: random.Random, text: str) -> str:
    """The same request as somebody else would type it: case, punctuation, spaces, a polite word."""
    if rng.random() < 0.12:
        text = rng.choice(BEFORE) + text
    if rng.random() < 0.1:
        text = text + rng.choice(AFTER)
    roll = rng.random()
    if roll < 0.3:
        text = text.rstrip("?.!")
    elif roll < 0.38:
        text = text.rstrip("?.!") + rng.choice(["??", "!", " ?", "...", "?", "."])
    roll = rng.random()
    if roll < 0.22:
        text = text.lower()
    elif roll < 0.31:
        text = text.upper()
    if rng.random() < 0.08:
        text = rng.choice([" " + text, text + " ", text + "\n", text.replace(" ", "  ")])
    return text


def _fixed(rng: random.Random) -> tuple[str, str]:
    entry = rng.choice(ANSWERS["answers"])
    if rng.random() < 0.3:
        return entry["question"], entry["answer"]
    return spell(rng, rng.choice([entry["question"], *entry["also"]])), entry["answer"]


def _arithmetic(rng: random.Random) -> tuple[str, str]:
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    kind = rng.random()
    if kind < 0.5:
        forms, answer = ADD, f"{a} plus {b} is {a + b}."
    elif kind < 0.8:
        a, b = max(a, b), min(a, b)
        forms, answer = TAKE, f"{a} minus {b} is {a - b}."
    else:
        a, b = rng.randint(1, 5), rng.randint(1, 5)
        forms, answer = MULTIPLY, f"{a} times {b} is {a * b}."
    form = forms[0] if rng.random() < 0.3 else rng.choice(forms)
    return spell(rng, form.format(a=a, b=b)), answer


def _unknown(rng: random.Random) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.08:
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))
    elif roll < 0.12:
        text = " ".join(rng.choice(KNOWN_WORDS if rng.random() < 0.6 else WORDS) for _ in range(rng.randint(4, 10)))
    elif roll < 0.19:
        letters = string.ascii_letters + string.digits + string.punctuation + "    äöéñ日本😀"
        text = "".join(rng.choice(letters) for _ in range(rng.randint(1, 24)))
    elif roll < 0.23:
        return rng.choice(ANSWERS["fallback"]["questions"]), FALLBACK
    else:
        form = rng.choice(UNKNOWN["requests"])
        country = rng.choice(UNKNOWN["countries"])
        if rng.random() < 0.25:
            country = "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 9))).capitalize()
        elif "capital" not in form and rng.random() < 0.5:
            country = rng.choice(KNOWN_COUNTRIES)
        text = form.format(
            country=country,
            person=rng.choice(UNKNOWN["people"]),
            verb=rng.choice(UNKNOWN["verbs"]),
            thing=rng.choice(UNKNOWN["things"]),
            thing2=rng.choice(UNKNOWN["things"]),
            n1=rng.randint(21, 2000),
            n2=rng.randint(0, 2000),
        )
    return spell(rng, text[:1].upper() + text[1:]), FALLBACK


def _short(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        return spell(rng, rng.choice(ANSWERS["short"])), short_story(
            rng, 0 if rng.random() < 0.5 else rng.randrange(len(HEROES))
        )
    hero = rng.randrange(len(HEROES))
    name, animal = HEROES[hero]
    article = "an" if animal[0] in "aeiou" else "a"
    about = rng.choice([f"{article} {animal}", f"{name} the {animal}", name])
    form = rng.choice(["Tell me a story about {}.", "Tell me a short story about {}.", "A story about {}, please."])
    return spell(rng, form.format(about)), short_story(rng, hero)


def turn(rng: random.Random) -> tuple[str, str]:
    """One question with its answer, drawn from all kinds."""
    roll = rng.random()
    for share, kind in ((0.50, _fixed), (0.70, _arithmetic), (0.92, _unknown)):
        if roll < share:
            return kind(rng)
    return _short(rng)


def conversation(rng: random.Random) -> Conversation:
    """One to three turns, sometimes behind a system prompt."""
    turns: Conversation = []
    if rng.random() < 0.15:
        turns.append(("system", rng.choice(SYSTEM_PROMPTS)))
    roll = rng.random()
    for _ in range(1 if roll < 0.75 else 2 if roll < 0.92 else 3):
        question, answer = turn(rng)
        turns += [("user", question), ("assistant", answer)]
    return turns


def endless(rng: random.Random, stories: int) -> Conversation:
    """A request for endless stories, and a chain of them."""
    request = rng.choice(ANSWERS["endless"]) if rng.random() < 0.4 else spell(rng, rng.choice(ANSWERS["endless"]))
    hero = 0 if rng.random() < 0.5 else rng.randrange(len(HEROES))
    return [("user", request), ("assistant", endless_stories(rng, hero, stories))]


def long_prompt(rng: random.Random, words: int) -> Conversation:
    """A prompt of about `words` words that means nothing, which it declines; sometimes a known question follows."""
    kind = rng.randrange(6)
    if kind == 0:
        filler = " ".join(rng.choice(WORDS) for _ in range(words))
    elif kind == 1:
        phrase = [rng.choice(WORDS) for _ in range(rng.randint(1, 14))]
        filler = " ".join(phrase * max(1, words // len(phrase)))
    elif kind == 2:
        filler = " ".join(
            rng.choice([rng.choice(PLACES), rng.choice(FINDS)[0], rng.choice(KNOWN_WORDS)]) for _ in range(words)
        )
    elif kind == 3:
        filler = rng.choice(string.ascii_letters + string.digits + ".,- ") * (3 * words)
    elif kind == 4:
        filler = " ".join(str(rng.randint(0, 999)) for _ in range(words // 2))
    else:
        filler = endless_stories(rng, rng.randrange(len(HEROES)), max(1, words // 40))
    before = rng.choice(["", "", "", "Read this: ", "Summarise this text: ", "Please summarise: "])
    turns = [("user", before + filler), ("assistant", FALLBACK)]
    if rng.random() < 0.3:
        question, answer = _fixed(rng)
        turns += [("user", question), ("assistant", answer)]
    return turns


def plain(rng: random.Random) -> str:
    """Text without the chat form, for clients that send a raw prompt: an answer sentence, or a short story."""
    if rng.random() < 0.4:
        return short_story(rng, rng.randrange(len(HEROES)))
    question, answer = _fixed(rng)
    return answer if rng.random() < 0.5 else f"{question}\n{answer}"
