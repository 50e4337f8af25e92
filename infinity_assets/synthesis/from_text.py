"""Instruction Pre-Training (arXiv 2406.14491): a model reads a raw text and writes question-answer pairs about it.

The published synthesizer and its tuning data use this marker grammar: an example is a context (begin of text, one
space, `<CON>` text `</CON>`, a blank line) and its pairs (`<QUE>` question `<ANS>` answer `</END>`, a blank line
between two, end of text). A prompt is any number of whole examples followed by a context alone; the model writes its
pairs and an end of text. The prompt spells out begin and end of text, so it is tokenized without adding special tokens.
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
"""Operation of a row in edges and rows."""

CON, CON_END, QUE, ANS, END = MARKERS = ("<CON>", "</CON>", "<QUE>", "<ANS>", "</END>")

_SENTENCE_END = re.compile(r"\n\s*\n|[.!?][\"')\]”’]*(?=\s)|[。！？][”’」』）]*")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_TOKEN_CHARS = 24
"""Upper bound on characters per token in practice; characters beyond it are ignored when a text is cut."""


class Pair(NamedTuple):
    """A question about a text, and its answer."""

    question: str
    answer: str


class Parsed(NamedTuple):
    """Pairs of a continuation, parsed strictly."""

    pairs: tuple[Pair, ...]
    rejected: tuple[str, ...]
    """A reason for each rejected part: unfinished, no_question, not_one_answer, no_answer, stray_marker,
    template_debris, repeated_question, copied_from_prompt.
    """


@dataclass(frozen=True)
class Grammar:
    """The marker grammar with the special tokens of a model. `bos` is empty for a model without a begin of text."""

    bos: str
    eos: str

    def format_context(self, text: str) -> str:
        """Format a context: the first half of an example, and the end of a prompt."""
        return f"{self.bos} {CON} {self.escape(text)} {CON_END}\n\n"

    def format_pairs(self, pairs: Iterable[Pair]) -> str:
        """Format pairs: the second half of an example."""
        written = (f"{QUE} {self.escape(question)} {ANS} {self.escape(answer)} {END}" for question, answer in pairs)
        return "\n\n".join(written) + self.eos

    def format_example(self, text: str, pairs: Iterable[Pair]) -> str:
        """Format a whole example."""
        return self.format_context(text) + self.format_pairs(pairs)

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a continuation: the end of text, and the marker of a new context."""
        return (self.eos, CON)

    def parse(self, written: str, copies: Iterable[Pair] = ()) -> Parsed:
        """Parse a continuation without ever raising.

        Inverts `format_pairs` if questions and answers have no outer white space and no mark of a chat template, and no
        question occurs twice (case ignored).

        Args:
            written: The model's text.
            copies: Pairs of the prompt, which are rejected as copies (case ignored).
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
        """Invert `escape`."""
        return self._mark_pattern(escaped=True).sub("", text)

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        return tuple(mark for mark in (*MARKERS, self.bos, self.eos) if mark)

    def _mark_pattern(self, escaped: bool) -> re.Pattern[str]:
        """Match after the first character of each mark and before any backslashes; if `escaped`, match one of these."""
        one = r"\\" if escaped else ""
        places = (rf"(?<={re.escape(mark[0])}){one}(?=\\*{re.escape(mark[1:])})" for mark in self._marks)
        return re.compile("|".join(places))


class Example(NamedTuple):
    """Text of a whole example, with its length in tokens."""

    text: str
    tokens: int


def build_few_shot(context: Example, exemplars: Sequence[Example], earlier: Sequence[Example], room: int) -> str:
    """Build a prompt from examples and the context to write about.

    Args:
        context: The context, formatted by `Grammar.format_context`.
        exemplars: The fixed examples. They stand first and take precedence if there is not room for all examples.
        earlier: Examples from earlier rounds, oldest first. The oldest are left out if there is not room for all.
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
    """Split the places of texts into one group per round. The texts at the same place of each group form a chain."""
    size = -(-count // rounds)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size or 1)]


def cut(text: str, most: int, count: Callable[[str], int]) -> str:
    """Cut a text to at most `most` tokens, which `count` counts: after the last sentence or paragraph that fits.

    If the first sentence is too long, cut after a word, or else anywhere.
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
    """Read the examples of a prompt file: its user turns are texts, its assistant turns pairs in the marker grammar.

    Raises:
        InfinityError: The file has a system turn, or an assistant turn with anything but pairs.
    """
    texts = [turn.fill({}) for turn in prompt.turns if turn.role == "user"][:-1]
    examples = [Grammar("", "</s>").parse(written) for written in prompt.examples]
    if prompt.turns[0].role == "system" or not all(parsed.pairs and not parsed.rejected for parsed in examples):
        form = f"texts and {QUE} question {ANS} answer {END}, without a system turn"
        raise InfinityError(f"{prompt.file}: turns must be {form}.")
    return [(text, parsed.pairs) for text, parsed in zip(texts, examples, strict=True)]


def conversation(text: str, pairs: Sequence[Pair]) -> list[Message]:
    """Build a conversation: the text and the first question form the first turn, then come the other turns."""
    messages: list[Message] = []
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages[0]["content"] = first_turn(text, pairs[0].question)
    return messages


def first_turn(text: str, question: str) -> str:
    """Return the first turn of a conversation about a text."""
    return f"{text}\n\n{question}"


def pairs_of(messages: Sequence[Message], context: str) -> list[Pair]:
    """Invert `conversation`: return the pairs of a conversation whose first turn begins with the context."""
    contents = [turn["content"] for turn in messages]
    return [Pair(contents[0][len(first_turn(context, "")) :], contents[1]), *map(Pair, contents[2::2], contents[3::2])]
