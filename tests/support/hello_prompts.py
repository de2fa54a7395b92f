"""The hello model's questions as it is asked them, in tokens."""

import json

import jinja2
from tokenizers import Tokenizer

from support.engines import HELLO_MODEL


def questions() -> list[list[int]]:
    """The prompts whose greedy answers are fixed (examples/hello-model/answers.json)."""
    answers = json.loads((HELLO_MODEL.parent / "answers.json").read_text(encoding="utf-8"))["answers"]
    tokenizer = Tokenizer.from_file(str(HELLO_MODEL / "tokenizer.json"))
    template = jinja2.Environment().from_string((HELLO_MODEL / "chat_template.jinja").read_text(encoding="utf-8"))
    asked = [[{"role": "user", "content": each["question"]}] for each in answers]
    texts = [template.render(messages=messages, add_generation_prompt=True) for messages in asked]
    return [tokenizer.encode(text).ids for text in texts]
