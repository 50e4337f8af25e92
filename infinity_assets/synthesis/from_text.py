"""Instruction Pre-Training (arXiv 2406.14491): a model reads a raw text and writes question-answer pairs about it.

The published synthesizer and its tuning data use this marker grammar. A context is: begin of text, one space, `<CON>`
text `</CON>`, a blank line. Its pairs are: `<QUE>` question `<ANS>` answer `</END>`, with a blank line between two
pairs, then end of text. An example is a context with its pairs. A prompt is any number of examples and a final context,
whose pairs the model writes. Prompts spell out begin and end of text, so the tokenizer must not add special tokens.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from infinity_assets.errors import InfinityError
from infinity_assets.prompts import Prompt
from infinity_assets.rows.grammar import DEBRIS, Message

OPERATION = "from_text"
"""Operation of rows written from a text, in edges and rows."""

CON, CON_END, QUE, ANS, END = MARKERS = ("<CON>", "</CON>", "<QUE>", "<ANS>", "</END>")

_SENTENCE_END = re.compile(r"\n\s*\n|[.!?][\"')\]”’]*(?=\s)|[。！？][”’」』）]*")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_TOKEN_CHARS = 24
"""Practical upper bound on characters per token, by which `cut` limits the part of a text that it tokenizes."""


class Pair(NamedTuple):
    """A question about a text, and its answer."""

    question: str
    answer: str


class Parsed(NamedTuple):
    """The pairs in a model's text, and the reasons why other parts of the text are not pairs."""

    pairs: tuple[Pair, ...]
    rejected: tuple[str, ...]
    """The reason for each rejected part: unfinished, no_question, not_one_answer, no_answer, stray_marker,
    template_debris, repeated_question, copied_from_prompt.
    """


@dataclass(frozen=True)
class Grammar:
    """The marker grammar with a model's special tokens. `bos` is empty for a model without a begin-of-text token."""

    bos: str
    eos: str

    def format_context(self, text: str) -> str:
        """Format a context, with which an example begins and a prompt ends."""
        return f"{self.bos} {CON} {self.escape(text)} {CON_END}\n\n"

    def format_pairs(self, pairs: Iterable[Pair]) -> str:
        """Format the pairs of an example, with the end of text."""
        written = (f"{QUE} {self.escape(question)} {ANS} {self.escape(answer)} {END}" for question, answer in pairs)
        return "\n\n".join(written) + self.eos

    def format_example(self, text: str, pairs: Iterable[Pair]) -> str:
        """Format an example: a context with its pairs."""
        return self.format_context(text) + self.format_pairs(pairs)

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the strings at which the model stops: the end of text, and the marker of a new context."""
        return (self.eos, CON)

    def parse(self, written: str, copies: Iterable[Pair] = ()) -> Parsed:
        """Parse the pairs in a model's text. Malformed text never raises an error.

        `parse` inverts `format_pairs` if questions and answers have no white space at their ends and no mark of a chat
        template, and no question occurs twice (case ignored).

        Args:
            written: The model's text.
            copies: Pairs of the prompt. An equal pair in the text (case ignored) is rejected as a copy.
        """
        shown = {(question.lower(), answer.lower()) for question, answer in copies}
        pairs: dict[str, Pair] = {}
        rejected = []
        *blocks, rest = written.split(self.eos, 1)[0].split(END)
        for block in blocks:
            parsed = self._parse_block(block.strip())
            if isinstance(parsed, str):
                rejected.append(parsed)
            elif parsed.question.lower() in pairs:
                rejected.append("repeated_question")
            elif (parsed.question.lower(), parsed.answer.lower()) in shown:
                rejected.append("copied_from_prompt")
            else:
                pairs[parsed.question.lower()] = parsed
        return Parsed(tuple(pairs.values()), (*rejected, *(["unfinished"] if rest.strip() else [])))

    def _parse_block(self, block: str) -> Pair | str:
        """Parse one block as a pair, or return the reason for its rejection."""
        if not block.startswith(QUE):
            return "no_question"
        parts = block.removeprefix(QUE).split(ANS)
        if len(parts) != 2:
            return "not_one_answer"
        if any(mark in part for part in parts for mark in self._marks):
            return "stray_marker"
        question, answer = (self.unescape(part.strip()) for part in parts)
        if not question:
            return "no_question"
        if not answer:
            return "no_answer"
        if any(mark in question or mark in answer for mark in DEBRIS):
            return "template_debris"
        return Pair(question, answer)

    def escape(self, text: str) -> str:
        """Escape every marker and special token in a text with a backslash: `<QUE>` becomes `<\\QUE>`."""
        return self._mark_pattern(escaped=False).sub(r"\\", text)

    def unescape(self, text: str) -> str:
        """Remove the backslashes that `escape` inserts."""
        return self._mark_pattern(escaped=True).sub("", text)

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        return tuple(mark for mark in (*MARKERS, self.bos, self.eos) if mark)

    def _mark_pattern(self, escaped: bool) -> re.Pattern[str]:
        """Return a pattern for the position after the first character of a mark, or for one backslash there if `escaped`."""
        one = r"\\" if escaped else ""
        places = (rf"(?<={re.escape(mark[0])}){one}(?=\\*{re.escape(mark[1:])})" for mark in self._marks)
        return re.compile("|".join(places))


class Example(NamedTuple):
    """The text of an example or a context, with its length in tokens."""

    text: str
    tokens: int


def build_few_shot(context: Example, exemplars: Sequence[Example], earlier: Sequence[Example], room: int) -> str:
    """Build a prompt from examples and the context for which the model writes pairs.

    Args:
        context: The context, formatted by `Grammar.format_context`.
        exemplars: The fixed examples, which stand first. They take precedence over the examples from earlier rounds.
        earlier: Examples from earlier rounds, oldest first. If there is not enough room, the oldest are left out.
        room: Maximum tokens of the prompt.
    """
    left = room - context.tokens
    fixed = []
    for example in exemplars:
        if example.tokens <= left:
            fixed.append(example.text)
            left -= example.tokens
    lengths = list(accumulate(example.tokens for example in reversed(earlier)))
    newest = earlier[len(earlier) - bisect_right(lengths, left) :]
    return "".join([*fixed, *(example.text for example in newest), context.text])


def split_groups(count: int, rounds: int) -> list[list[int]]:
    """Split the indices of `count` texts into one group per round. Texts at equal positions of the groups form a chain."""
    size = -(-count // rounds)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size or 1)]


def cut(text: str, most: int, count: Callable[[str], int]) -> str:
    """Cut a text to at most `most` tokens (counted by `count`), after the last sentence or paragraph that fits.

    If the first sentence is too long, cut after a word. If the first word is too long, cut within it.
    """
    if len(text) <= most * _TOKEN_CHARS and count(text) <= most:
        return text
    seen = text[: most * _TOKEN_CHARS]
    for ends in (_SENTENCE_END.finditer(seen), _WORD_END.finditer(seen)):
        places = [match.end() for match in ends]
        fitting = bisect_right(places, most, key=lambda end: count(seen[:end]))
        if fitting and (beginning := seen[: places[fitting - 1]].strip()):
            return beginning
    return seen[: bisect_right(range(1, len(seen) + 1), most, key=lambda end: count(seen[:end]))]


def read_exemplars(prompt: Prompt) -> list[tuple[str, tuple[Pair, ...]]]:
    """Read the examples of a prompt: each user turn but the last is a text, and the assistant turn after it has its pairs.

    Raises:
        InfinityError: The prompt has a system turn, or an assistant turn that is not a list of pairs in the marker grammar.
    """
    texts = [turn.fill({}) for turn in prompt.turns if turn.role == "user"][:-1]
    examples = [Grammar("", "</s>").parse(written) for written in prompt.examples]
    if prompt.turns[0].role == "system" or not all(parsed.pairs and not parsed.rejected for parsed in examples):
        form = f"texts and {QUE} question {ANS} answer {END}, without a system turn"
        raise InfinityError(f"{prompt.file}: turns must be {form}.")
    return [(text, parsed.pairs) for text, parsed in zip(texts, examples, strict=True)]


def conversation(text: str, pairs: Sequence[Pair]) -> list[Message]:
    """Build a conversation about a text, whose first turn is the text with the first question."""
    messages: list[Message] = []
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages[0]["content"] = first_turn(text, pairs[0].question)
    return messages


def first_turn(text: str, question: str) -> str:
    """Return the first turn of a conversation about a text: the text, a blank line and the first question."""
    return f"{text}\n\n{question}"


def pairs_of(messages: Sequence[Message], context: str) -> list[Pair]:
    """Return the pairs of a conversation whose first turn begins with the context. Inverts `conversation`."""
    contents = [turn["content"] for turn in messages]
    return [Pair(contents[0][len(first_turn(context, "")) :], contents[1]), *map(Pair, contents[2::2], contents[3::2])]
