"""A server that always gives the same answer to the same request: for runs that are to be compared byte for byte, and faster than a model."""

import hashlib
import json
import random
from typing import Any

from infinity_assets.scoring.labels import ABILITIES
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


class Oracle:
    """Answers what the graph asks of `vllm serve`: chats, JSON, choices with their log-probabilities, tokens, and log-probabilities of prompts."""

    def __init__(self, latency: float = 0.03):
        self.latency, self.url, self.calls = latency, "", 0

    def __call__(self, path: str, body: dict[str, Any], number: int) -> Reply:
        """What the server says. Every call for an answer is counted, tokens are given for nothing."""
        text = json.dumps(body, sort_keys=True)
        drawn = random.Random(hashlib.blake2b(text.encode(), digest_size=8).digest())
        if path.endswith("/tokenize"):
            said = body.get("prompt") or "".join(turn["content"] for turn in body["messages"])
            header = [7] if body.get("add_generation_prompt") else []
            return Reply(200, {"tokens": [8 + sum(map(ord, word)) % 999 for word in said.split()] + header})
        self.calls += 1
        if path.endswith("/chat/completions"):
            return Reply(*self._chat(body, drawn), after=self.latency * drawn.random())
        tokens = body["prompt"]
        lines = [None, *({str(token): {"logprob": -0.1 - drawn.random()}} for token in tokens[1:])]
        choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": lines}
        return Reply(200, {"choices": [choice], "usage": {"prompt_tokens": len(tokens), "completion_tokens": 1}}, after=self.latency)

    def _chat(self, body: dict[str, Any], drawn: random.Random) -> tuple[int, dict[str, Any]]:
        wanted = body.get("logprob_token_ids")
        if wanted:
            weights = [-drawn.random() for _ in wanted]
            top = [{"token": f"token_id:{token}", "logprob": weight} for token, weight in zip(wanted, weights, strict=True)]
            return completion("x", {"content": [{"token": f"token_id:{wanted[0]}", "logprob": weights[0], "top_logprobs": top}]})
        if "response_format" in body or "structured_outputs" in body:
            lifts = "cate_ability" in json.dumps(body)
            return completion(
                json.dumps({"cate_ability": [drawn.choice(list(ABILITIES))]} if lifts else {"ability": drawn.sample(WORDS, 2)})
            )
        asked = body["messages"][-1]["content"].strip().splitlines()
        subject = max(asked, key=len)[:160]
        return completion(f"Please explain in {drawn.randint(2, 9)} steps, with {drawn.choice(WORDS)} as an example: {subject}")
