"""A scripted server whose answers depend on the request alone, for runs that are compared byte for byte."""

import hashlib
import json
import random
import re
from collections.abc import Callable
from typing import Any

from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.synthesis.from_text import ANS, CON, CON_END, END, QUE
from infinity_assets_tests.inference.engines.servers import Reply, completion

WORDS = [
    "rivers",
    "bridges",
    "clocks",
    "maps",
    "bread",
    "lenses",
    "harbours",
    "violins",
    "seeds",
    "kites",
    "canals",
    "mirrors",
    "winter",
    "trade",
    "light",
    "music",
]

_QUOTED = re.compile(r"[^\n]*[:：]\n(.*)\n\n[^\n]+", re.DOTALL)
"""A prompt for a new request: an introductory line, the material, and the instruction."""

_SPREAD = 4.0
"""Range of the log-probabilities of choices, so that the judge is sometimes sure and grades differ."""


class Oracle:
    """The requests of the graph to `vllm serve`, answered: chats, JSON, choices with log-probabilities, completions,
    tokens, and log-probabilities of prompts.

    A rewrite repeats its seed and adds a condition, so that most rewrites pass the rules of elimination.
    """

    def __init__(self, latency: float = 0.03):
        self.latency, self.calls = latency, 0
        self.before_call: Callable[[], None] = lambda: None
        """Hook that runs when a call arrives, before it is answered."""

    def __call__(self, path: str, body: dict[str, Any], number: int) -> Reply:
        """Answer a request and count it; requests for tokens do not count."""
        text = json.dumps(body, sort_keys=True)
        drawn = random.Random(hashlib.blake2b(text.encode(), digest_size=8).digest())
        if path.endswith("/tokenize"):
            prompt = body.get("prompt") or "".join(turn["content"] for turn in body["messages"])
            header = [7] if body.get("add_generation_prompt") else []
            return Reply(200, {"tokens": [8 + sum(map(ord, word)) % 999 for word in prompt.split()] + header})
        self.calls += 1
        self.before_call()
        if path.endswith("/chat/completions"):
            return Reply(*self._chat(body, drawn), after=self.latency * drawn.random())
        if isinstance(body["prompt"], str):
            return Reply(*_continuation(body["prompt"], drawn), after=self.latency)
        tokens = body["prompt"]
        # Surprise falls with the position, so most answers are likelier after their requests than alone.
        surprises = [(0.1 + drawn.random()) * 30 / (30 + place) for place in range(1, len(tokens))]
        lines = [
            None,
            *({str(token): {"logprob": -surprise}} for token, surprise in zip(tokens[1:], surprises, strict=True)),
        ]
        choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": lines}
        return Reply(
            200,
            {"choices": [choice], "usage": {"prompt_tokens": len(tokens), "completion_tokens": 1}},
            after=self.latency,
        )

    def _chat(self, body: dict[str, Any], drawn: random.Random) -> tuple[int, dict[str, Any]]:
        wanted = body.get("logprob_token_ids")
        if wanted:
            weights = [-_SPREAD * drawn.random() for _ in wanted]
            top = [
                {"token": f"token_id:{token}", "logprob": weight} for token, weight in zip(wanted, weights, strict=True)
            ]
            return completion(
                "x", {"content": [{"token": f"token_id:{wanted[0]}", "logprob": weights[0], "top_logprobs": top}]}
            )
        if "response_format" in body or "structured_outputs" in body:
            lifts = "cate_ability" in json.dumps(body)
            return completion(
                json.dumps(
                    {"cate_ability": [drawn.choice(list(ABILITIES))]} if lifts else {"ability": drawn.sample(WORDS, 2)}
                )
            )
        asked: str = body["messages"][-1]["content"].strip()
        quoted = _QUOTED.fullmatch(asked)
        if asked.startswith(("Conversation:", "对话：")):
            return completion(
                f"And how many {drawn.choice(WORDS)} does that take, if I have only {drawn.randint(2, 9)}?"
            )
        if quoted and body["messages"][0]["role"] == "system":
            return completion(
                f"{quoted[1]} Give {drawn.randint(2, 9)} reasons, one of them about {drawn.choice(WORDS)}."
            )
        subject = max(asked.splitlines(), key=len)[:160]
        return completion(
            f"In {drawn.randint(2, 9)} steps, with {drawn.choice(WORDS)} as an example. First of all: {subject}"
        )


def _continuation(prompt: str, drawn: random.Random) -> tuple[int, dict[str, Any]]:
    """Return two pairs about the last text of a prompt in the marker grammar, or no pair for one prompt in four."""
    context = prompt.rpartition(CON)[2].partition(CON_END)[0].split()
    facts = [" ".join(context[place : place + 12]) for place in (0, len(context) // 2)]
    pairs = "\n\n".join(
        f"{QUE} What is said about {fact.split()[-1]}? {ANS} That {fact}. {END}" for fact in facts if fact
    )
    choice = {"index": 0, "text": pairs if drawn.random() < 0.75 else "x", "finish_reason": "stop"}
    return 200, {
        "choices": [choice],
        "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": len(pairs.split())},
    }
