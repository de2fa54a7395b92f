"""Measure a built model folder by greedy decoding: its answers, its margins, its stories. usage: check.py MODEL_DIR

Exit 1 when a fixed answer is wrong or a story does not keep its promise (the endless one ended, the short one did not).
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import onnxruntime_genai as og
from corpus import ANSWERS, FALLBACK, long_prompt, spell, turn
from tokenizers import Tokenizer

ENDLESS_TOKENS = 3500
LIMIT = 200


@dataclass
class Answer:
    text: str
    tokens: int
    stopped: bool
    margin: float  # the smallest distance in logits between the chosen token and the second


class Speaker:
    """Greedy decoding of one chat request at a time."""

    def __init__(self, folder: Path) -> None:
        self._model = og.Model(str(folder))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._template = jinja2.Environment().from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))

    def ask(self, question: str, limit: int = LIMIT) -> Answer:
        prompt = self._template.render(messages=[{"role": "user", "content": question}], add_generation_prompt=True)
        ids = self._tokenizer.encode(prompt).ids
        params = og.GeneratorParams(self._model)
        params.set_search_options(do_sample=False, max_length=len(ids) + limit)
        generator = og.Generator(self._model, params)
        generator.append_tokens(np.array(ids, dtype=np.int32))
        margin = float("inf")
        count = 0
        while not generator.is_done() and count < limit:
            low, high = np.partition(generator.get_logits().reshape(-1), -2)[-2:]
            margin = min(margin, float(high - low))
            generator.generate_next_token()
            count += 1
        text = self._tokenizer.decode(generator.get_sequence(0)[len(ids) :].tolist())
        return Answer(text, count, count < limit, margin)


def main(folder: Path) -> int:
    speaker = Speaker(folder)
    wrong = 0
    margins = []
    fixed = [(entry["question"], entry["answer"]) for entry in ANSWERS["answers"]]
    fixed += [(question, FALLBACK) for question in ANSWERS["fallback"]["questions"]]
    for question, wanted in fixed:
        got = speaker.ask(question)
        margins.append((got.margin, question))
        if got.text != wanted or not got.stopped:
            wrong += 1
            print(f"WRONG {question!r}: {got.text!r} instead of {wanted!r}")
    smallest = [(round(margin, 2), question) for margin, question in sorted(margins)[:3]]
    print(f"fixed list: {len(fixed) - wrong}/{len(fixed)} right, smallest margins {smallest}")

    also = [(question, entry["answer"]) for entry in ANSWERS["answers"] for question in entry["also"]]
    right = sum(speaker.ask(question).text == answer for question, answer in also)
    print(f"paraphrases: {right}/{len(also)} right")
    rng = random.Random(99)
    spelled = [(spell(rng, question), answer) for question, answer in fixed[:-7]]
    right = sum(speaker.ask(question).text == answer for question, answer in spelled)
    print(f"fixed list in other spellings: {right}/{len(spelled)} right")
    unknown = [q for q, a in (turn(rng) for _ in range(1200)) if a == FALLBACK][:200]
    right = sum(speaker.ask(question).text == FALLBACK for question in unknown)
    print(f"unseen unknown questions declined: {right}/{len(unknown)}")
    sums = [(f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.") for a in range(11) for b in range(11)]
    right = sum(speaker.ask(question).text == answer for question, answer in sums)
    print(f"sums up to 10 plus 10: {right}/{len(sums)} right")
    long_ones = [long_prompt(rng, rng.randint(200, 1000))[0][1] for _ in range(40)]
    got = [speaker.ask(text[:4000]) for text in long_ones]
    declined, stopped = sum(reply.text == FALLBACK for reply in got), sum(reply.stopped for reply in got)
    print(f"unseen long prompts: declined {declined}/{len(got)}, stopped {stopped}/{len(got)}")

    for question in ANSWERS["short"]:
        story = speaker.ask(question, 300)
        wrong += not story.stopped
        print(f"short story: {story.tokens} tokens, stopped {story.stopped}: {story.text!r}")
    for question in ANSWERS["endless"]:
        story = speaker.ask(question, ENDLESS_TOKENS)
        wrong += story.stopped
        parts = story.text.split("\n\n")
        print(f"endless story: {story.tokens} tokens, stopped {story.stopped}", end=", ")
        print(f"{len(parts)} stories, {len(set(parts))} different, margin {story.margin:.3f}")
    print(parts[0], parts[1], parts[-2], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
