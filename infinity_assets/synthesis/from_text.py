"""Instruction Pre-Training: question-answer pairs out of raw texts, by a model that reads a context and writes about it (arXiv 2406.14491).

The marker grammar is that of the published synthesizer and of its tuning data: an example is a context (begin of text, one space,
`<CON>` text `</CON>`, a blank line) and its pairs (`<QUE>` question `<ANS>` answer `</END>`, a blank line between two, end of text). A
prompt is any number of whole examples and then a context alone; what the model writes up to the end of text are the pairs. Begin and end
of text stand in it as the model spells them, so a prompt is tokenised with no special token added.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from infinity_assets.errors import InfinityError
from infinity_assets.prompts import Prompt
from infinity_assets.rows.grammar import DEBRIS, Message

OPERATION = "from_text"
"""What made a row, as edges and rows say it."""

CON, CON_END, QUE, ANS, END = MARKERS = ("<CON>", "</CON>", "<QUE>", "<ANS>", "</END>")

_SENTENCE_END = re.compile(r"\n\s*\n|[.!?][\"')\]”’]*(?=\s)|[。！？][”’」』）]*")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_TOKEN_CHARS = 24
"""No text has more characters per token than this, in practice: what is beyond is not looked at for a cut."""


class Pair(NamedTuple):
    """A question about a text, and its answer."""

    question: str
    answer: str


class Parsed(NamedTuple):
    """What was written, read strictly."""

    pairs: tuple[Pair, ...]
    rejected: tuple[str, ...]
    """A reason for each part that is no pair: unfinished, no_question, not_one_answer, no_answer, stray_marker, template_debris,
    repeated_question, copied_from_prompt.
    """


@dataclass(frozen=True)
class Grammar:
    """The marker grammar with the special tokens of a model. One that has no begin of text gives the empty string."""

    bos: str
    eos: str

    def context(self, text: str) -> str:
        """The first half of an example, and the end of a prompt."""
        return f"{self.bos} {CON} {self.neutral(text)} {CON_END}\n\n"

    def pairs(self, pairs: Iterable[Pair]) -> str:
        """The second half of an example."""
        written = (f"{QUE} {self.neutral(question)} {ANS} {self.neutral(answer)} {END}" for question, answer in pairs)
        return "\n\n".join(written) + self.eos

    def example(self, text: str, pairs: Iterable[Pair]) -> str:
        """A whole example."""
        return self.context(text) + self.pairs(pairs)

    @property
    def stops(self) -> tuple[str, ...]:
        """Where a continuation ends: at the end of text, and where the model begins a context of its own."""
        return (self.eos, CON)

    def parse(self, written: str, copies: Iterable[Pair] = ()) -> Parsed:
        """The pairs of a continuation; it never raises. The inverse of `pairs` where questions and answers have no outer white space, no
        mark of a chat template, and no question twice (case ignored).

        Args:
            written: What the model wrote.
            copies: Pairs of the prompt that do not count when they are written again (case ignored).
        """
        shown = {(question.lower(), answer.lower()) for question, answer in copies}
        pairs: dict[str, Pair] = {}
        rejected = []
        *blocks, rest = written.split(self.eos, 1)[0].split(END)
        for block in blocks:
            read = self._pair(block.strip())
            if isinstance(read, str):
                rejected.append(read)
            elif read.question.lower() in pairs:
                rejected.append("repeated_question")
            elif (read.question.lower(), read.answer.lower()) in shown:
                rejected.append("copied_from_prompt")
            else:
                pairs[read.question.lower()] = read
        return Parsed(tuple(pairs.values()), (*rejected, *(["unfinished"] if rest.strip() else [])))

    def _pair(self, block: str) -> Pair | str:
        """One block as a pair, or why it is none."""
        if not block.startswith(QUE):
            return "no_question"
        parts = block.removeprefix(QUE).split(ANS)
        if len(parts) != 2:
            return "not_one_answer"
        if any(mark in part for part in parts for mark in self._marks):
            return "stray_marker"
        question, answer = (self.plain(part.strip()) for part in parts)
        if not question:
            return "no_question"
        if not answer:
            return "no_answer"
        if any(mark in question or mark in answer for mark in DEBRIS):
            return "template_debris"
        return Pair(question, answer)

    def neutral(self, text: str) -> str:
        """The text with a backslash in every marker and special token, so that none is read as one: `<QUE>` becomes `<\\QUE>`."""
        return self._inside(escaped=False).sub(r"\\", text)

    def plain(self, text: str) -> str:
        """The inverse of `neutral`."""
        return self._inside(escaped=True).sub("", text)

    @cached_property
    def _marks(self) -> tuple[str, ...]:
        return tuple(mark for mark in (*MARKERS, self.bos, self.eos) if mark)

    def _inside(self, escaped: bool) -> re.Pattern[str]:
        """The place after the first character of every mark, which any number of backslashes may follow; one of them belongs to the match."""
        one = r"\\" if escaped else ""
        places = (rf"(?<={re.escape(mark[0])}){one}(?=\\*{re.escape(mark[1:])})" for mark in self._marks)
        return re.compile("|".join(places))


class Example(NamedTuple):
    """A whole example, written, with its length."""

    text: str
    tokens: int


def few_shot(context: Example, exemplars: Sequence[Example], earlier: Sequence[Example], room: int) -> str:
    """A prompt: examples, then the context to write about.

    Args:
        context: The context, as `Grammar.context` writes it.
        exemplars: The fixed examples. They come first, and before all others where there is room for some only.
        earlier: What earlier rounds made, oldest first. Where there is no room for all, the oldest are left out.
        room: Tokens that the prompt may have.
    """
    left = room - context.tokens
    fixed = []
    for example in exemplars:
        if example.tokens <= left:
            fixed.append(example.text)
            left -= example.tokens
    newest = []
    for example in reversed(earlier):
        if example.tokens > left:
            break
        newest.append(example.text)
        left -= example.tokens
    return "".join([*fixed, *reversed(newest), context.text])


def groups(count: int, rounds: int) -> list[list[int]]:
    """The M groups of N texts, by their places: a group per round. The texts at the same place of each group make a chain."""
    size = -(-count // rounds)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size or 1)]


def cut(text: str, most: int, count: Callable[[str], int]) -> str:
    """The longest beginning of a text that ends with a sentence or paragraph and has at most so many tokens.

    Where not even the first sentence is that short, it ends with a word, or anywhere.

    Args:
        text: The text.
        most: Tokens it may have.
        count: The number of tokens of a text.
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


def exemplars(prompt: Prompt) -> list[tuple[str, tuple[Pair, ...]]]:
    """The examples that a prompt file holds: its user turns are texts, its assistant turns pairs in the marker grammar.

    Raises:
        InfinityError: It holds something else.
    """
    texts = [turn.filled({}) for turn in prompt.turns if turn.role == "user"][:-1]
    found = [(text, Grammar("", "</s>").parse(written)) for text, written in zip(texts, prompt.examples, strict=True)]
    if prompt.turns[0].role == "system" or not all(parsed.pairs and not parsed.rejected for _, parsed in found):
        raise InfinityError(
            f"{prompt.file}: its turns are texts and {QUE} question {ANS} answer {END}, without a system turn."
        )
    return [(text, parsed.pairs) for text, parsed in found]


def conversation(text: str, pairs: Sequence[Pair]) -> list[Message]:
    """The text and the first question as the first turn, then the pairs in turn."""
    asked = [opening(text, pairs[0].question), *(pair.question for pair in pairs[1:])]
    return [
        {"role": role, "content": content}
        for question, pair in zip(asked, pairs, strict=True)
        for role, content in (("user", question), ("assistant", pair.answer))
    ]


def opening(text: str, question: str) -> str:
    """The first turn of a conversation about a text."""
    return f"{text}\n\n{question}"


def pairs_of(messages: Sequence[Message], context: str) -> list[Pair]:
    """The inverse of `conversation`: the pairs of a conversation whose first turn begins with that context."""
    contents = [turn["content"] for turn in messages]
    return [Pair(contents[0][len(opening(context, "")) :], contents[1]), *map(Pair, contents[2::2], contents[3::2])]
