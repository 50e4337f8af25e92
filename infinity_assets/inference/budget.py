"""The spending of a run on model calls, and its cap.

The highest possible cost of a request is reserved before it is submitted, so the cap holds for answers of any length.
If a server counts more prompt tokens than were estimated, the cap can be exceeded by the difference.
"""

import math
import re
import threading

from infinity_assets.errors import InfinityError
from infinity_assets.inference.engines.engine import Admit
from infinity_assets.settings.models import Calls, Price


class BudgetSpent(InfinityError):
    """The next call might cost more than the remaining budget. All earlier answers are stored."""


class Budget:
    """The tokens and the money that a run spends on all models, and their caps. Thread-safe."""

    def __init__(self, calls: Calls = Calls()):
        self._tokens_cap = calls.budget_tokens or math.inf
        self._cost_cap = calls.budget_cost or math.inf
        self.tokens = 0
        self.cost = 0.0
        self.spent = False
        """True if the budget refused a request."""
        self._refused = 0
        self._reserved_tokens = 0
        self._reserved_cost = 0.0
        self._lock = threading.Lock()

    def admission(self, price: Price) -> Admit:
        """Return the callback that reserves the highest cost of a request at this price, or refuses the request."""

        def admit(prompt_tokens: int, max_tokens: int) -> bool:
            tokens = prompt_tokens + max_tokens
            cost = cost_of(price, prompt_tokens, max_tokens)
            with self._lock:
                self.spent |= self.tokens + self._reserved_tokens + tokens > self._tokens_cap
                self.spent |= self.cost + self._reserved_cost + cost > self._cost_cap
                if self.spent:
                    self._refused = tokens
                else:
                    self._reserved_tokens += tokens
                    self._reserved_cost += cost
                return not self.spent

        return admit

    def settle(self, price: Price, prompt_tokens: int, completion_tokens: int, max_tokens: int) -> None:
        """Replace the reservation of a request with its actual cost, once it is answered."""
        with self._lock:
            self.tokens += prompt_tokens + completion_tokens
            self.cost += cost_of(price, prompt_tokens, completion_tokens)
            self._reserved_tokens = max(0, self._reserved_tokens - prompt_tokens - max_tokens)
            self._reserved_cost = max(0.0, self._reserved_cost - cost_of(price, prompt_tokens, max_tokens))

    def add(self, cost: float) -> None:
        """Add the cost of engine time, which is billed by the hour."""
        with self._lock:
            self.cost += cost

    def release(self) -> None:
        """Cancel all reservations. Call this only when no request is in flight."""
        with self._lock:
            self._reserved_tokens = 0
            self._reserved_cost = 0.0

    def describe(self) -> str:
        """Return a message about the refused call and the spending so far."""
        caps = [f"{self.tokens:,} of {self._tokens_cap:,} tokens are used"] if self._tokens_cap < math.inf else []
        caps += [f"{self.cost:.4g} of {self._cost_cap:.4g} is spent"] if self._cost_cap < math.inf else []
        return (
            f"the next call, of up to {self._refused:,} tokens, might exceed the budget ({' and '.join(caps)}). All "
            "answers are kept, and a run with a larger --budget continues from here"
        )


def cost_of(price: Price, prompt_tokens: float, completion_tokens: float) -> float:
    """Return the cost of tokens at a price per million tokens."""
    return (price.prompt * prompt_tokens + price.completion * completion_tokens) / 1e6


_AMOUNT = re.compile(r"([$€£]?)\s*([\d][\d_,]*\.?\d*)\s*([kmg]?)\s*(tokens?|\$|usd|eur|cost)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse(text: str) -> Calls:
    """Parse a budget such as `2M`, `500k tokens`, `$5` or `5 eur`.

    An amount with a currency is money, and one without is tokens. Money is not converted: any currency stands for the
    currency of the prices.

    Raises:
        InfinityError: The text is not a budget, its amount is not positive, or its number of tokens is not whole.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise InfinityError(
            f"`{text}` is not a budget: write `2M` or `500k tokens` for tokens, `$5` or `5 eur` for money."
        )
    sign, digits, unit, name = match.groups()
    amount = float(digits.replace(",", "").replace("_", "")) * _UNITS[unit.lower()]
    if amount <= 0:
        raise InfinityError(f"A budget of {text} leaves nothing to spend.")
    if sign or (name and not name.lower().startswith("token")):
        return Calls(budget_cost=amount)
    if amount != int(amount):
        raise InfinityError(f"`{text}` is not a whole number of tokens; name a currency for money: `$5` or `5 eur`.")
    return Calls(budget_tokens=int(amount))
