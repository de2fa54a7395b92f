"""Train the hello model on the synthesised conversations and save it as a Hugging Face folder. usage: train.py OUT_DIR

Needs requirements.txt. Runs on two CPU threads; the seed makes it repeatable on one machine. What the model learns is
in corpus.py and stories.py; how its weights survive four bits is in quantise.py.
"""

import json
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from corpus import ANSWERS, Conversation, conversation, endless, long_prompt, plain
from quantise import bake_int4, fake_int4
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 7
VOCABULARY = 1280
CONTEXT = 4096
STEPS = 600
QUANTISED_FROM = 0.6  # of the steps: from here on the forward pass sees four-bit weights
LONG_FROM = 0.35  # of the steps: from here on some batches are as long as the context
PEAK_RATE = 3e-3
BATCH_TOKENS = 2560
BOS, START, END, PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IGNORED = -100
Sample = tuple[list[int], list[int]]  # token ids and labels, of one length


def train_tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    """A byte-level BPE over a sample of the corpus; every byte is in it, so no text is out of vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [text for _ in range(12000) for _, text in conversation(rng)]
    texts += [text for _ in range(60) for _, text in endless(rng, 12)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, START, END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    fast.model_max_length = CONTEXT
    return fast


class Encoder:
    """Turns conversations into ids and labels; only what the model says has a label."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._end = tokenizer.convert_tokens_to_ids(END)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def chat(self, turns: Conversation) -> Sample:
        ids: list[int] = []
        labels: list[int] = []
        for role, text in turns:
            if role == "assistant":
                head, body, tail = self._ids(f"{START}{role}\n"), [*self._ids(text), self._end], self._ids("\n")
                ids += head + body + tail
                labels += [IGNORED] * len(head) + body + [IGNORED] * len(tail)
            else:
                heard = self._ids(f"{START}{role}\n{text}{END}\n")
                ids += heard
                labels += [IGNORED] * len(heard)
        return ids, labels

    def endless(self, rng: random.Random, stories: int, length: int) -> Sample:
        """A chain of stories cut at `length` tokens, without an end."""
        request, (_, chain) = endless(rng, stories)
        ids, labels = self.chat([request])
        head, body = self._ids(f"{START}assistant\n"), self._ids(chain)
        return (ids + head + body)[:length], (labels + [IGNORED] * len(head) + body)[:length]

    def plain(self, text: str) -> Sample:
        ids = [*self._ids(text), self._end]
        return ids, [IGNORED, *ids[1:]]


def batches(rng: random.Random, encoder: Encoder) -> Iterator[list[Sample]]:
    """Yield lists of samples of like length for ever: conversations and plain texts, about BATCH_TOKENS a batch."""
    while True:
        pool = [encoder.chat(conversation(rng)) for _ in range(1800)]
        pool += [encoder.chat(long_prompt(rng, rng.randint(8, 120))) for _ in range(100)]
        pool += [encoder.plain(plain(rng)) for _ in range(100)]
        pool.sort(key=lambda sample: len(sample[0]))
        cut: list[list[Sample]] = [[]]
        for sample in pool:
            if (len(cut[-1]) + 1) * len(sample[0]) > BATCH_TOKENS:
                cut.append([])
            cut[-1].append(sample)
        rng.shuffle(cut)
        yield from cut


def long_batch(rng: random.Random, encoder: Encoder) -> list[Sample]:
    """About as many tokens as the context holds: one chain of endless stories, or one to eight long prompts."""
    if rng.random() < 0.35:
        return [encoder.endless(rng, 90, CONTEXT)]
    rows = rng.choice([1, 2, 4, 4, 8])
    length = CONTEXT // rows
    samples: list[Sample] = []
    while len(samples) < rows:
        sample = encoder.chat(long_prompt(rng, rng.randint(length // 5, length)))
        if length // 3 < len(sample[0]) <= length:
            samples.append(sample)
    return samples


def loss_of(model: LlamaForCausalLM, samples: list[Sample], pad: int) -> torch.Tensor:
    """Mean cross entropy over the labelled tokens of one batch."""
    width = max(len(ids) for ids, _ in samples)
    ids = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids, _ in samples])
    labels = torch.tensor([[*labels, *[IGNORED] * (width - len(labels))] for _, labels in samples])
    # Padding is on the right and unlabelled, so the causal mask alone is enough.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    spoken = wanted != IGNORED
    logits = model.lm_head(hidden[spoken])
    return torch.nn.functional.cross_entropy(logits.float(), wanted[spoken])


def rate_at(step: int) -> float:
    """Linear warm-up, then a cosine to a fiftieth of the peak."""
    if step < 40:
        return (step + 1) / 40
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - 40) / (STEPS - 40)))


def make_optimisers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, which halves the steps that AdamW alone needs here; AdamW for the rest."""
    matrices = [parameter for parameter in model.model.layers.parameters() if parameter.ndim == 2]
    taken = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return [
        torch.optim.Muon(matrices, lr=PEAK_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=PEAK_RATE, betas=(0.9, 0.97), weight_decay=0.01),
    ]


def train(model: LlamaForCausalLM, encoder: Encoder, rng: random.Random, pad: int) -> None:
    optimisers = make_optimisers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimiser, rate_at) for optimiser in optimisers]
    source, started, seen = batches(rng, encoder), time.monotonic(), 0
    for step in range(STEPS):
        if step == int(STEPS * QUANTISED_FROM):
            fake_int4(model)
        parts = [next(source)]
        if step % 3 == 0:
            parts.append([encoder.endless(rng, 8, 480) for _ in range(3)])
        if step > STEPS * LONG_FROM and step % 5 == 0:
            parts.append(long_batch(rng, encoder))
        losses = []
        for samples in parts:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = loss_of(model, samples, pad)
            loss.backward()
            losses.append(loss.item())
            seen += sum(len(ids) for ids, _ in samples)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        if step % 50 == 0 or step == STEPS - 1:
            print(
                f"step {step:4} loss {' '.join(f'{x:.3f}' for x in losses)}",
                f"{seen:8} tokens {time.monotonic() - started:5.0f} s",
                flush=True,
            )


def main(out: Path) -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    rng = random.Random(SEED)
    tokenizer = train_tokenizer(rng)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens,",
        f"{len(ANSWERS['answers'])} fixed answers",
    )
    train(model, Encoder(tokenizer), rng, tokenizer.pad_token_id)
    bake_int4(model)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(
        json.dumps({"seed": SEED, "steps": STEPS, "torch": torch.__version__}), encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
