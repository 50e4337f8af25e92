"""What a run may spend on model calls, and what it has spent.

The worst that a request can cost is set aside before it is submitted, so the cap holds however long the answers become; where a server counts
prompt tokens otherwise than estimated, it holds to that difference.
"""

import re
import threading

from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines.engine import Admit
from infinity_assets.settings.models import Calls, Price


class BudgetSpent(InfinityError):
    """The next call might cost more than is left. All answers until then are stored."""


class Budget:
    """Tokens and money of one run, over all models. Safe for several threads."""

    def __init__(self, calls: Calls = Calls()):
        self._tokens_cap, self._cost_cap = calls.budget_tokens, calls.budget_cost
        self.tokens, self.cost = 0, 0.0
        self.spent = False
        """Whether a request was turned away."""
        self._refused = 0
        self._aside_tokens, self._aside_cost = 0, 0.0
        self._lock = threading.Lock()

    def admission(self, price: Price) -> Admit:
        """What an engine asks before it submits a request to a model of that price."""

        def admit(prompt_tokens: int, max_tokens: int) -> bool:
            tokens, cost = prompt_tokens + max_tokens, cost_of(price, prompt_tokens, max_tokens)
            with self._lock:
                self.spent |= _over(self.tokens + self._aside_tokens + tokens, self._tokens_cap)
                self.spent |= _over(self.cost + self._aside_cost + cost, self._cost_cap)
                if self.spent:
                    self._refused = tokens
                else:
                    self._aside_tokens, self._aside_cost = self._aside_tokens + tokens, self._aside_cost + cost
                return not self.spent

        return admit

    def settle(self, price: Price, prompt_tokens: int, completion_tokens: int, max_tokens: int) -> None:
        """An answer has come: what it took in the place of what was set aside for it."""
        with self._lock:
            self.tokens += prompt_tokens + completion_tokens
            self.cost += cost_of(price, prompt_tokens, completion_tokens)
            self._aside_tokens = max(0, self._aside_tokens - prompt_tokens - max_tokens)
            self._aside_cost = max(0.0, self._aside_cost - cost_of(price, prompt_tokens, max_tokens))

    def add(self, cost: float) -> None:
        """Count what was paid by the hour."""
        with self._lock:
            self.cost += cost

    def settled(self) -> None:
        """Nothing is in flight any more."""
        with self._lock:
            self._aside_tokens, self._aside_cost = 0, 0.0

    def sentence(self) -> str:
        """What was spent of what, in words."""
        caps = [f"{self.tokens:,} of {self._tokens_cap:,} tokens are used"] if self._tokens_cap else []
        caps += [f"{self.cost:.4g} of {self._cost_cap:.4g} is spent"] if self._cost_cap else []
        return (
            f"the next call, of up to {self._refused:,} tokens, might pass the budget ({' and '.join(caps)}). All answers are kept, and a run with "
            "another --budget goes on from here"
        )


def cost_of(price: Price, prompt_tokens: float, completion_tokens: float) -> float:
    """What so many tokens cost, by the token."""
    return (price.prompt * prompt_tokens + price.completion * completion_tokens) / 1e6


def _over(value: float, cap: float | None) -> bool:
    return cap is not None and value > cap


_AMOUNT = re.compile(r"([$€£]?)\s*([\d][\d_,]*\.?\d*)\s*([kmg]?)\s*(tokens?|\$|usd|eur|cost)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse(text: str) -> Calls:
    """`2M`, `500k tokens`, `$5`, `5 eur`: tokens, or money where a currency stands (it is that of the prices, whichever is named).

    Raises:
        InfinityError: It is none of these.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if not found:
        raise InfinityError(f"`{text}` is no budget: `2M` or `500k tokens` for tokens, `$5` or `5 eur` for money.")
    sign, digits, unit, what = found.groups()
    amount = float(digits.replace(",", "").replace("_", "")) * _UNITS[unit.lower()]
    if amount <= 0:
        raise InfinityError(f"A budget of {text} leaves nothing to spend.")
    if sign or (what and not what.lower().startswith("token")):
        return Calls(budget_cost=amount)
    if amount != int(amount):
        raise InfinityError(f"`{text}` is no number of tokens; a budget of money has a currency: `$5` or `5 eur`.")
    return Calls(budget_tokens=int(amount))
