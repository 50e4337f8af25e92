"""The gate, against a naive one that compares lists of strings, and by its promises."""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.decontamination import index
from infinity_assets.decontamination.gate import LINES_PER_ROW, MATCHES, Gate, select_removals
from infinity_assets.rows.token_hashes import TokenHashes, hash_tokens
from infinity_assets.settings import Decontamination, Part
from infinity_assets_tests.frames import Turns, conversations
from infinity_assets_tests.properties import examples

FEW = settings(max_examples=examples(60), deadline=None)
WORDS = st.sampled_from(
    ["the", "sum", "of", "x", "3", "17", "多", "少", "苹", "Ｇ４", "A)", "(b)", "C.", "f(a)", "g[i][j]", "a"]
)
GLUE = st.sampled_from([" ", ", ", "? ", "\n", "。", " - "])
TEXTS = st.lists(st.tuples(WORDS, GLUE), max_size=14).map(lambda parts: "".join(word + glue for word, glue in parts))
ITEMS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=2), TEXTS), max_size=3)
SIDES = ("system", "user", "assistant")
ROWS = st.lists(st.lists(st.tuples(st.sampled_from(SIDES), TEXTS), min_size=1, max_size=3), max_size=5)
RULES = st.builds(
    Decontamination,
    exact=st.booleans(),
    exact_words=st.integers(1, 3),
    ngram=st.none() | st.integers(1, 5),
    min_words=st.integers(0, 3),
    overlap=st.none() | st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    overlap_ngram=st.integers(1, 4),
    overlap_tokens=st.integers(1, 6),
)

Item = tuple[str, Sequence[str], str]


def items_frame(items: Sequence[Item | str]) -> pl.DataFrame:
    whole = [(item, [], "") if isinstance(item, str) else item for item in items]
    lines = [(f"b#{n}", "b", item[0], list(item[1]) or None, item[2] or None) for n, item in enumerate(whole)]
    texts = dict.fromkeys(("item_id", "benchmark", "prompt", "further", "answer"), pl.String)
    return pl.DataFrame(lines, schema={**texts, "further": pl.List(pl.String)}, orient="row")


def rows_frame(rows: Sequence[Turns]) -> pl.DataFrame:
    ids = pl.Series("row_id", [f"{n:032x}" for n in range(len(rows))], dtype=pl.String)
    return pl.DataFrame({"row_id": ids, "messages": conversations(*rows)})


def asked(*contents: str) -> pl.DataFrame:
    return rows_frame([[("user", content)] for content in contents])


def tokenize(text: str) -> list[str]:
    text = text.replace("Ｇ４", "G4")
    found = []
    for match in re.finditer(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff_]+", text):
        before, after = text[max(match.start() - 2, 0) : match.start()], text[match.end() : match.end() + 1]
        opens = not before or before[-1].isspace() or (before[-1] in "([" and not re.match(r"[\w)\]]", before[:-1]))
        if not (re.fullmatch("[A-Ja-j]", match[0]) and opens and after and after in ").:]、"):
            found.append(match[0].lower())
    return found


def words_in(tokens: Sequence[str]) -> int:
    return sum(bool(re.fullmatch(r"[\u4e00-\u9fff]|[a-z]{2,}", token)) for token in tokens)


def runs(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def covered(turn: list[str], part: list[str], n: int) -> set[int]:
    shared = set(runs(turn, n))
    return {start + k for start, run in enumerate(runs(part, n)) if run in shared for k in range(n)}


def naive(rows: Sequence[Turns], items: Sequence[Item], rule: Decontamination) -> dict[tuple, float]:
    """Return the share by row, item, part, side and rule, of the turn of that role that shares most."""
    hits: dict[tuple, float] = {}
    for number, turns in enumerate(rows):
        for side, text in turns:
            for place, (prompt, options, answer) in enumerate(items):
                whole = "\n".join([prompt, *options])
                parts: dict[Part, tuple[str, ...]] = {"question": (prompt, whole), "answer": (answer,)}
                for part, texts in parts.items():
                    variants = [tokens for tokens in map(tokenize, texts) if tokens]
                    if side in rule.sides[part] and variants:
                        for name, share in fired(tokenize(text), variants, part, rule).items():
                            key = (number, place, part, side, name)
                            hits[key] = max(hits.get(key, 0.0), share)
    return hits


def fired(turn: list[str], variants: list[list[str]], part: str, rule: Decontamination) -> dict[str, float]:
    """Return the share by rule, of a turn and a part of an item: the question alone, and with its options."""
    cover = rule.overlap_ngram if rule.overlap is not None else rule.ngram or rule.overlap_ngram
    share = max(len(covered(turn, tokens, cover)) / len(tokens) for tokens in variants)
    found = {}
    equal = any(turn == tokens and length(tokens) >= rule.exact_words for tokens in variants)
    if rule.exact and part == "question" and equal:
        found["exact_prompt"] = 1.0
    shared = {*runs(turn, rule.ngram)} & {*runs(variants[-1], rule.ngram)} if rule.ngram else set()
    if any(words_in(run) >= rule.min_words for run in shared):
        found["ngram"] = share
    if rule.overlap is not None and any(matches(turn, tokens, rule) for tokens in variants):
        found["overlap"] = share
    return found


def length(tokens: list[str]) -> float:
    return len(tokens) - sum(bool(re.fullmatch(r"[\u4e00-\u9fff]", token)) for token in tokens) / 2


def matches(turn: list[str], tokens: list[str], rule: Decontamination) -> bool:
    found = covered(turn, tokens, rule.overlap_ngram)
    enough_words = words_in([tokens[k] for k in found]) >= min(max(words_in(tokens), 1), rule.min_words)
    enough = len(found) >= rule.overlap_tokens or len(found) == len(tokens)
    return len(found) / len(tokens) > (rule.overlap or 0) and enough and enough_words


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES)
def test_the_gate_finds_what_a_naive_one_finds(rows: list, items: list, rule: Decontamination) -> None:
    found = Gate(items_frame(items), rule).matches(rows_frame(rows))
    assert found.schema == MATCHES
    lines = found.select("row_id", "item_id", "part", "side", "rule", "share").iter_rows()
    shares = {(int(row, 16), int(item.removeprefix("b#")), *rest): share for row, item, *rest, share in lines}
    assert len(shares) == found.height
    expected = naive(rows, items, rule)
    for number in range(len(rows)):
        wanted = {key: share for key, share in expected.items() if key[0] == number}
        got = {key: share for key, share in shares.items() if key[0] == number}
        assert len(got) == min(len(wanted), LINES_PER_ROW)
        assert got == pytest.approx({key: wanted[key] for key in got})


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES)
def test_the_evidence_stands_in_the_row_and_in_the_item(rows: list, items: list, rule: Decontamination) -> None:
    """The span stands in the named turn, and its tokens stand in the named part of the item."""
    for hit in Gate(items_frame(items), rule).matches(rows_frame(rows)).iter_rows(named=True):
        side, text = rows[int(hit["row_id"], 16)][hit["turn"]]
        prompt, options, answer = items[int(hit["item_id"].removeprefix("b#"))]
        part = "\n".join([prompt, *options]) if hit["part"] == "question" else answer
        assert side == hit["side"]
        assert hit["span"] in text.replace("Ｇ４", "G4")
        assert hit["verdict"] == ("removes" if side in rule.remove[hit["rule"]].get(hit["part"], ()) else "reported")
        # At the edge of the span an option letter loses the sign that marks it: it counts as a token there.
        shared = [token for token in tokenize(f"x{hit['span']}x") if token]
        assert hit["shared"] <= len(shared)
        assert 0 <= hit["share"] <= 1
        assert runs(tokenize(text), hit["shared"])
        assert set(runs(tokenize(text), hit["shared"])) & set(runs(tokenize(part), hit["shared"]))


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES, data=st.data())
def test_hits_do_not_depend_on_order_or_other_rows(rows: list, items: list, rule: Decontamination, data) -> None:
    """Other shards, another order of rows, other batches and other cuts between texts must not change a row's hits."""
    frame, gate = rows_frame(rows), Gate(items_frame(items), rule)
    found = gate.matches(frame)
    assert Gate(items_frame(items), rule).matches(frame[data.draw(st.permutations(range(len(rows))))]).equals(found)
    size = data.draw(st.integers(1, 5))
    batches = [gate.matches(frame[start : start + size]) for start in range(0, len(rows), size)]
    assert pl.concat([pl.DataFrame(schema=MATCHES), *batches]).equals(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infinity_assets.decontamination.gate._CHUNK", data.draw(st.integers(1, 60)))
        assert gate.matches(frame).equals(found)


@FEW
@given(rows=ROWS, items=ITEMS, rule=RULES)
def test_colliding_hashes_are_not_hits(rows: list, items: list, rule: Decontamination) -> None:
    def coarse(texts: pl.Series) -> TokenHashes:
        found = hash_tokens(texts)
        return found._replace(hashes=found.hashes & np.uint64(3))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "hash_tokens", coarse)
        found = Gate(items_frame(items), rule).matches(rows_frame(rows))
    widest = {"min_words": 0, "overlap": None if rule.overlap is None else 0.0, "overlap_tokens": 1}
    expected = {key[:4] for key in naive(rows, items, rule.model_copy(update=widest))}
    lines = found.select("row_id", "item_id", "part", "side").iter_rows()
    assert {(int(row, 16), int(item.removeprefix("b#")), part, side) for row, item, part, side in lines} <= expected


NOUNS = "river stone walks under seven bright clouds nobody counts"
PLAIN = st.lists(st.sampled_from(NOUNS.split()), min_size=13, max_size=30)
SAYING = PLAIN.filter(lambda words: len(set(words)) > 3)
"""An item whose words do not only repeat themselves."""
OTHER_WORDS = "paper window sings slowly nine dark fields somebody sells pears"
OTHER = st.lists(st.sampled_from(OTHER_WORDS.split()), max_size=30)
SEPARATORS = st.sampled_from([" ", "  ", ", ", " – ", "\n", "! ", " (", ") "])


@FEW
@given(item=SAYING, before=OTHER, after=OTHER, data=st.data())
def test_a_planted_item_is_found_in_any_formatting(item: list[str], before: list[str], after: list[str], data) -> None:
    """Case, punctuation and line breaks make no difference; the span is the item, and its share is 1."""
    dressed = "".join((word.upper() if data.draw(st.booleans()) else word) + data.draw(SEPARATORS) for word in item)
    row = " ".join([*before, ""]) + dressed + " ".join(["", *after])
    found = Gate(items_frame([" ".join(item)]), Decontamination()).matches(asked(row))
    best = found.filter(pl.col("rule") == ("ngram" if before or after else "exact_prompt")).row(0, named=True)
    assert tokenize(best["span"]) == item[: len(tokenize(best["span"]))]
    assert len(best["span"]) > 280 or tokenize(best["span"]) == item
    assert (best["shared"], best["share"], best["verdict"]) == (len(item), 1.0, "removes")
    assert found.filter(pl.col("rule") == "overlap")["share"].to_list() == [1.0]


PROMPT = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


@pytest.mark.parametrize(
    ("content", "rules"),
    [
        (PROMPT, ["exact_prompt", "ngram", "overlap"]),
        (PROMPT.upper().replace(",", " -- "), ["exact_prompt", "ngram", "overlap"]),
        (f"Solve this: {PROMPT} Think aloud.", ["ngram", "overlap"]),
        ("Natalia sold clips to 48 of her friends in April, and then she", ["ngram", "overlap"]),
        ("Natalia sold clips to 48 of her friends in April, and then", []),
        ("Natalia sold clips to 48 of her friends in April; but then she sold half as many clips in May.", ["overlap"]),
        ("Natalia sold clips to 49 of her friends in April, and then he sold half as many clips in May.", []),
    ],
)
def test_a_prompt_is_a_hit_by_the_expected_rules(content: str, rules: list[str]) -> None:
    assert Gate(items_frame([PROMPT]), Decontamination()).matches(asked(content))["rule"].to_list() == rules


def test_half_of_a_short_item_is_not_a_hit_but_all_of_it_is() -> None:
    """Eight words are more than half of this item, and every other request for a function shares them."""
    gate = Gate(items_frame(["Write a Python function to find the length of a rope."]), Decontamination())
    assert gate.matches(asked("Write a Python function to find the length of the longest word in a list.")).is_empty()
    hits = gate.hits(asked("Please: write a Python function to find the length of a rope, with tests."))
    assert hits["share"].to_list() == [1.0]


def test_a_shared_grid_of_numbers_is_not_a_hit_but_an_equal_prompt_is() -> None:
    grid = " ".join(str(number) for number in range(20))
    gate = Gate(items_frame([grid]), Decontamination())
    assert gate.matches(asked(f"Add up {grid}")).is_empty()
    assert gate.matches(asked(grid))["rule"].to_list() == ["exact_prompt"]


def test_a_single_word_is_not_looked_for() -> None:
    """A benchmark that asks `Continue` must not remove every row with that prompt."""
    gate = Gate(items_frame(["Continue", "你好", "Who whistles?", "谁吹口哨"]), Decontamination())
    found = gate.hits(asked("continue!", "你好。", "who whistles", "谁吹口哨？"))
    assert found["item_id"].to_list() == ["b#2", "b#3"]


MMLU: Item = (
    "Which gas do plants take in to build up sugar?",
    ["Oxygen", "Carbon dioxide", "Nitrogen", "Argon"],
    "Carbon dioxide",
)


@pytest.mark.parametrize(
    "content",
    [
        "Which gas do plants take in to build up sugar?\nA. Oxygen\nB. Carbon dioxide\nC. Nitrogen\nD. Argon",
        "Which gas do plants take in to build up sugar? (a) Oxygen (b) Carbon dioxide (c) Nitrogen (d) Argon",
        "Which gas do plants take in to build up sugar?\nA: Oxygen\nB: Carbon dioxide\nC: Nitrogen\nD: Argon",
        "Which gas do plants take in to build up sugar?\n[A] Oxygen\n[B] Carbon dioxide\n[C] Nitrogen\n[D] Argon",
        "Which gas do plants take in to build up sugar?\nA、Oxygen\nB）Carbon dioxide\nC．Nitrogen\n（D）Argon",
        "Which gas do plants take in to build up sugar?\n- Oxygen\n- Carbon dioxide\n- Nitrogen\n- Argon",
        "Which gas do plants take in to build up sugar?",
    ],
)
def test_option_letters_in_a_row_are_ignored(content: str) -> None:
    found = Gate(items_frame([MMLU]), Decontamination()).hits(asked(content))
    assert found.select("rule", "share").rows() == [("exact_prompt", 1.0)]


def test_option_letters_in_an_item_are_ignored() -> None:
    options = "(A) a spoon of silver\n(B) a fork of tin\n(C) a knife of iron"
    item = f"Pick the odd one out of these things here.\nOptions:\n{options}"
    row = "Pick the odd one out of these things here. Options: a spoon of silver; a fork of tin; a knife of iron"
    assert Gate(items_frame([item]), Decontamination()).hits(asked(row))["rule"].to_list() == ["exact_prompt"]


ANSWER = (
    "She picks three baskets in the morning and five baskets in the evening, which makes eight baskets of pears in all."
)


def test_each_side_of_an_item_is_compared_with_each_role() -> None:
    """A question in a user's turn or quoted by an assistant removes the row; an answer is reported."""
    items = items_frame([(PROMPT, [], ANSWER)])
    talks = [
        [("user", f"Solve: {PROMPT}"), ("assistant", "72")],
        [("user", "Give me a riddle."), ("assistant", f"Here is one. {PROMPT}")],
        [("user", "How many?"), ("assistant", ANSWER)],
        [("system", f"Like this: {PROMPT}"), ("user", "How many?")],
        [("user", PROMPT[:60]), ("user", PROMPT[60:])],
    ]
    rows = rows_frame(talks)
    found = Gate(items, Decontamination()).matches(rows)
    described = found.select("row_id", "part", "side", "rule", "verdict")
    lines = {(int(row, 16), *rest) for row, *rest in described.iter_rows()}
    assert lines == {
        (0, "question", "user", "ngram", "removes"),
        (0, "question", "user", "overlap", "removes"),
        (1, "question", "assistant", "overlap", "removes"),
        (1, "question", "assistant", "ngram", "reported"),
        (2, "answer", "assistant", "ngram", "reported"),
        (2, "answer", "assistant", "overlap", "reported"),
        (3, "question", "system", "ngram", "removes"),
        (3, "question", "system", "overlap", "removes"),
    }
    assert select_removals(found)["row_id"].to_list() == [f"{n:032x}" for n in (0, 1, 3)]
    only_users = Decontamination(remove={"ngram": {"question": ("user",)}}, report={})
    lines = Gate(items, only_users).matches(rows).select("row_id", "rule", "verdict").rows()
    assert lines == [(f"{0:032x}", "ngram", "removes"), (f"{0:032x}", "overlap", "reported")]


def test_runs_do_not_cross_from_one_text_into_the_next() -> None:
    gate = Gate(items_frame(["one two", "three four"]), Decontamination(ngram=4, min_words=0, overlap=None))
    rows = rows_frame([[("user", "one two three four")], [("user", "one two"), ("user", "three four five")]])
    assert gate.matches(rows).select("row_id", "rule").rows() == [(f"{1:032x}", "exact_prompt")]


PRIME = "A prime number is a number above one that nothing divides but one and the number itself, as everyone learns."


def test_a_hit_inside_an_allowed_text_is_excused() -> None:
    request = "Write a function that lists the primes below a bound."
    item = f"{request} {PRIME} Return them in falling order as a list of numbers."
    rows = asked(f"Tell me: {PRIME} Is that so?", f"Repeat: {item}")
    strict, lenient = (Gate(items_frame([item]), Decontamination(), allowed) for allowed in ((), [PRIME.upper()]))
    assert strict.hits(rows).height == 2
    assert lenient.hits(rows)["row_id"].to_list() == [f"{1:032x}"]
    excused = lenient.matches(rows[:1])
    assert set(excused["verdict"]) == {"excused"}
    assert tokenize(excused["span"][0]) == tokenize(PRIME)


@pytest.mark.parametrize("chance", ["", " Tell", " Tell me"])
def test_one_or_two_shared_words_beyond_an_allowed_text_are_excused(chance: str) -> None:
    request = "Tell me all about the largest one that is known today, and who found it and when, in three sentences."
    item = f"Explain. {PRIME} {request}"
    gate = Gate(items_frame([item]), Decontamination(), [PRIME])
    assert gate.matches(asked(f"{PRIME}{chance}"))["verdict"].unique().to_list() == ["excused"]
    assert gate.hits(asked(f"{PRIME} Tell me all about the largest one that is known")).height == 1


def test_a_short_question_that_equals_an_allowed_text_is_excused() -> None:
    items = items_frame(["Who goes there?", "What is the time?"])
    gate = Gate(items, Decontamination(), ["Who goes there?", "What is"])
    found = gate.matches(asked("who goes there", "What is the time?", "Who goes?"))
    assert found.select("row_id", "verdict").rows() == [(f"{0:032x}", "excused"), (f"{1:032x}", "removes")]


CHINESE = "小明有二十四个苹果，他把其中的三分之一送给了妹妹，又吃掉了四个，请问他还剩下多少个苹果？"


def test_chinese_is_compared_by_character() -> None:
    gate = Gate(items_frame([CHINESE]), Decontamination())
    hit = gate.hits(asked(f"请解答：{CHINESE.replace('，', ' ')}谢谢")).row(0, named=True)
    assert (hit["rule"], hit["share"], hit["shared"]) == ("ngram", 1.0, len(re.findall(r"[\u4e00-\u9fff]", CHINESE)))
    assert gate.matches(asked("小明有二十四个苹果，他还剩下多少？")).is_empty()


def test_no_rows_give_no_hits_and_all_rows_can_be_hits() -> None:
    gate = Gate(items_frame([PROMPT]), Decontamination())
    assert gate.matches(rows_frame([])).is_empty()
    assert gate.hits(asked(*[PROMPT] * 5)).height == 5
    assert gate.hits(asked("")).is_empty()


def test_a_row_keeps_a_limited_number_of_hits_the_strongest_first() -> None:
    """A row that quotes the template of a benchmark shares it with all its items."""
    template = "Read the following statement with care and say in one word whether it holds, with a reason: "
    items = [f"{template}{n} is a number." for n in range(LINES_PER_ROW * 3)]
    found = Gate(items_frame(items), Decontamination()).matches(asked(items[40]))
    assert found.height == LINES_PER_ROW
    assert found.select("item_id", "rule").row(0) == ("b#40", "exact_prompt")


def test_repetitive_runs_extend_a_run_and_do_not_begin_one() -> None:
    """A table of zeros would share a million runs with a text of zeros."""
    words = "When the old clock in the hall of the mill strikes it goes"
    item = f"{words} {'dong ' * 20} and then the miller wakes up and looks out of the window at his geese."
    gate = Gate(items_frame(["0 " * 1000, "tick tock " * 300, item]), Decontamination())
    assert gate.matches(asked("0 " * 100_000, "tick tock " * 10_000, "dong " * 10_000)).is_empty()
    hit = gate.hits(asked(f"So: {item}")).row(0, named=True)
    assert (hit["item_id"], hit["share"], hit["shared"]) == ("b#2", 1.0, len(tokenize(item)))
    assert gate.hits(asked(f"{words} {'dong ' * 30}"))["shared"].to_list() == [len(words.split()) + 20]
