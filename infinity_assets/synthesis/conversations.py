"""Conversations by role play: the generator alternately plays the user and answers as the assistant.

Infinity-Instruct's README describes an assistant that plays different roles for two to four rounds, but 97.7 % of the
rows of its released chat set have a single turn. Here, all conversations of a shard advance together, so that every
model call is batched. A turn that fails a rule is dropped and ends its conversation. The turns before it are kept.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from infinity_assets import prompts
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.grammar import DEBRIS
from infinity_assets.rows.ids import add_row_ids, draw
from infinity_assets.rows.schema import MESSAGES
from infinity_assets.rows.text import normalize_text, tokens
from infinity_assets.scoring import language
from infinity_assets.scoring.labels import ABILITIES
from infinity_assets.selection.rules import Rule, first_failure
from infinity_assets.settings.chat import Conversations
from infinity_assets.synthesis import answers
from infinity_assets.synthesis.elimination.rewrite_rules import asks, find_copied_examples
from infinity_assets.synthesis.patterns import Patterns
from infinity_assets.synthesis.prompting import Asking, choose_language

_PATTERNS = Patterns(Path(__file__).with_name("conversations.yaml"))

PROMPTS = ("play_user", "carries_on")
"""Names of the prompts of the role play."""
OPERATION = "converse"
"""Operation of continued conversations, in edges and rows."""
CLOSING = "closing"
"""Reason for the regular end of a conversation: the user says thanks or goodbye."""

_STAGE = "conversed"
_AIMS = (
    ("asks about a detail of the last answer", "追问上一个回答里的一个细节"),
    ("asks for an example", "想要一个例子"),
    ("tells of their own situation and asks what follows for it", "讲了自己的情况，问该怎么办"),
    ("doubts a point of the last answer and asks why it is so", "对上一个回答里的一点有疑问，问为什么"),
    ("changes one condition and asks what would be different", "换了一个条件，问会有什么不同"),
    ("asks what to do next", "问下一步该做什么"),
)
"""Possible aims of the user's next message, in English and Chinese. One is drawn by row id and number of turns."""
_SPEAKERS = (("User", "Assistant"), ("用户", "助手"))
_PERSONS = ("everyday questions", "日常问题")
_LABELS = 3
"""Maximum number of fine labels that describe a persona."""
_ALIKE = 0.8
"""Minimum Jaccard similarity of the tokens of two turns that makes one a repetition of the other."""


def draw_turns(rows: pl.DataFrame, settings: Conversations) -> pl.DataFrame:
    """Draw by row id the rows to continue, with the number of user turns that each should reach: row_id, wanted."""
    least, most = settings.turns
    drawn = rows.select("row_id", chance=draw(_STAGE, rows["row_id"]), length=draw(f"{_STAGE} turns", rows["row_id"]))
    turns = least + (pl.col("length") * (most - least + 1)).floor().cast(pl.Int64)
    return drawn.filter(pl.col("chance") < settings.share).select("row_id", wanted=turns)


def talk(rows: pl.DataFrame, settings: Conversations, asking: Asking) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Continue the conversation of each row until it has the wanted number of user turns.

    Args:
        rows: row_id, language, messages (ending with the assistant), cate_ability, ability, wanted.
        settings: Settings of the role play.
        asking: The client of the generator and the judge.

    Returns:
        First, one line per row, sorted by id: row_id, messages, turns (user turns), coherence (the judge's lowest
        probability of an added turn; null if no turn was added), reason and detail of an early end (null if the
        conversation has the wanted length). Second, one line per attempted turn: turn, reason (null if it was added).
    """
    lines = rows.select(
        "row_id", "language", pl.col("messages").cast(MESSAGES), "wanted",
        turns=conversation.turns_of("user").list.len().cast(pl.Int64),
        coherence=pl.lit(None, pl.Float64), reason=pl.lit(None, pl.String), detail=pl.lit(None, pl.String),
        persona=_describe_persona(),
    )  # fmt: skip
    tried = [pl.DataFrame(schema={"turn": pl.Int64, "reason": pl.String})]
    goes_on = pl.col("reason").is_null() & (pl.col("turns") < pl.col("wanted"))
    while (going := lines.filter(goes_on)).height:
        advanced = _add_turn(going, settings, asking)
        tried.append(advanced.select(turn=pl.col("turns") + pl.col("reason").is_not_null(), reason="reason"))
        lines = pl.concat([lines.filter(~goes_on), advanced.select(lines.columns)])
    talked = lines.select("row_id", "messages", "turns", "coherence", "reason", "detail").sort("row_id")
    return talked, pl.concat(tried)


def _add_turn(going: pl.DataFrame, settings: Conversations, asking: Asking) -> pl.DataFrame:
    """Add a user turn and its answer to each conversation, unless one of them fails a rule."""
    most = asking.settings.scoring.max_chars
    going = going.with_columns(
        conversation=_format_transcript().str.tail(most), aim=_draw_aim(going), number=pl.col("turns") + 1
    )
    played = asking.write("play_user", going, settings.user_sampling, progress_label="user's turn")
    spoken = going.join(played.with_columns(_strip_speaker(pl.col("text"))), on="row_id", maintain_order="left")
    unspoken = pl.concat([first_failure(_add_repetition(spoken, "user"), user_rules()), _find_copied(spoken, asking)])
    unspoken = unspoken.unique("row_id", keep="first", maintain_order=True)
    spoken = _remove(spoken, unspoken).rename({"text": "request"}).drop("finish_reason", "error")
    given = spoken.with_columns(asked=pl.concat_list("messages", pl.struct(role=pl.lit("user"), content="request")))
    sampling = asking.settings.chat.answering.sampling
    conversations = given.select("row_id", messages="asked")
    replies = asking.chat("answer", conversations, sampling, progress_label="assistant's turn")
    given = given.join(replies.drop("index"), on="row_id", maintain_order="left")
    before = pl.col("asked").list.eval(pl.element().struct.field("content")).list.join("\n")
    written = given.select("row_id", "text", "request", "finish_reason", "error", before=before)
    repeated = first_failure(_add_repetition(given, "assistant"), [_REPEATS])
    unanswered = pl.concat([answers.find_degenerate(written), repeated])
    unanswered = unanswered.unique("row_id", keep="first", maintain_order=True)
    given = _remove(given, unanswered)
    turns = given.select("row_id", "language", "conversation", message="request", answer="text")
    judged = asking.probability("carries_on", turns).rename({"error": "unjudged"})
    given = given.join(judged, on="row_id", maintain_order="left")
    incoherent = first_failure(given, coherence_rules(settings))
    answer = pl.struct(role=pl.lit("assistant"), content="text")
    stays = _remove(given, incoherent).select("row_id", "probability", added=pl.concat_list("asked", answer))
    why = pl.concat([unspoken, unanswered, incoherent])
    advanced = going.drop("reason", "detail").join(stays, on="row_id", how="left", maintain_order="left")
    return advanced.join(why, on="row_id", how="left", maintain_order="left").with_columns(
        pl.coalesce("added", "messages").alias("messages"),
        pl.col("turns") + pl.col("added").is_not_null(),
        pl.min_horizontal("coherence", "probability").alias("coherence"),
    )


def _remove(rows: pl.DataFrame, failed: pl.DataFrame) -> pl.DataFrame:
    return rows.join(failed, on="row_id", how="anti", maintain_order="left")


@dataclass(frozen=True)
class Outcome:
    """Result of the role play for all rows, with or without a continuation."""

    kept: pl.DataFrame
    """Rows for the next asset, sorted by id, with `turns` and `coherence`. A continued row is replaced by its child."""
    created: int
    """Number of continued conversations, copies included."""
    decisions: pl.DataFrame
    """`schema.DECISIONS`: one line per row drawn for the role play, and one per copy of another row."""
    edges: pl.DataFrame
    """`schema.EDGES`: one line per kept child."""


def settle(rows: pl.DataFrame, talked: pl.DataFrame) -> Outcome:
    """Replace rows by the conversations that continue them.

    A continued conversation is a new row, which inherits everything but its messages from its parent. A row stays
    unchanged if no turn was added to it, or if its continuation is a copy of another row.

    Args:
        rows: Rows with the columns of `schema.SYNTHETIC_ROW` and others.
        talked: Result of `talk` for some of the rows.
    """
    turns = conversation.turns_of("user").list.len().cast(pl.Int64)
    before = rows.with_columns(turns=turns, coherence=pl.lit(None, pl.Float64))
    grown = talked.join(before.select("row_id", before="turns"), on="row_id", maintain_order="left")
    grown = grown.filter(pl.col("turns") > pl.col("before")).rename({"row_id": "parent"}).drop("before")
    grown = grown.with_columns(add_row_ids(grown.select("messages"))["row_id"].alias("child"))
    copy = pl.col("child").is_in(before["row_id"].implode()) | (pl.int_range(pl.len()).over("child") > 0)
    copies = grown.filter(copy)
    stays = grown.filter(~copy)
    inherited = before.drop("messages", "turns", "coherence", "parents", "operation")
    children = stays.drop("reason", "detail").join(inherited, left_on="parent", right_on="row_id")
    children = children.with_columns(
        row_id="child", parents=pl.concat_list("parent"), operation=pl.lit(OPERATION, pl.String)
    )
    passing = before.join(stays, left_on="row_id", right_on="parent", how="anti")
    fate = grown.select("child", row_id="parent", stays=~copy)
    outcomes = talked.join(fate, on="row_id", how="left", maintain_order="left")
    superseded = pl.col("stays").fill_null(False)
    why = pl.when(~pl.col("stays")).then(pl.lit("copy_of_another")).otherwise("reason")
    of_rows = outcomes.with_columns(
        verdict=pl.when(superseded).then(pl.lit("dropped")).otherwise(pl.lit("chosen")),
        detail=pl.struct("child", "turns", why=why, measured="detail").struct.json_encode(),
        reason=pl.when(superseded).then(pl.lit("superseded")).otherwise(pl.lit("stays_single_turn")),
    ).join(rows.select("row_id", "source", "file", "position"), on="row_id", maintain_order="left")
    parents = rows.select("source", parent="row_id")
    of_copies = copies.join(parents, on="parent", maintain_order="left").select(
        "source", row_id="child", file=pl.lit(None), position=pl.lit(None),
        verdict=pl.lit("dropped"), reason=pl.lit("copy_of_another"),
        detail=pl.struct(duplicate_of="child").struct.json_encode(),
    )  # fmt: skip
    decisions = [part.select(schema.DECISIONS.names()).cast(schema.DECISIONS) for part in (of_rows, of_copies)]
    return Outcome(
        pl.concat([passing, children.select(passing.columns)]).sort("row_id"),
        grown.height,
        pl.concat(decisions),
        stays.select(child_id="child", parent_id="parent", operation=pl.lit(OPERATION)),
    )


def user_rules() -> list[Rule]:
    """Return the rules for the user's message, in order. A message that fails one ends its conversation.

    The rules read the columns text, finish_reason, error, language (of the row), conversation (the transcript so far)
    and repeats (from `_add_repetition`). Words that also occur in the conversation do not count as leaked.
    """
    text = pl.col("text")
    found, expected = language.detect(text), pl.col("language")
    two, answering = _PATTERNS.extract(text, "two_speakers"), _PATTERNS.extract(text, "answering")
    leaked = _PATTERNS.contains(text, "leaked") & ~_PATTERNS.contains(pl.col("conversation"), "leaked")
    return [
        Rule("no_message", text.fill_null("").str.strip_chars() == "", pl.col("error")),
        Rule("message_truncated", pl.col("finish_reason") == "length", pl.col("finish_reason")),
        Rule(CLOSING, _PATTERNS.contains(text, "only_thanks"), text),
        Rule("message_debris", text.str.contains_any(list(DEBRIS)), text.str.slice(0, 60)),
        Rule("speaks_for_both", two.is_not_null(), two),
        Rule("leaked_prompt", leaked, _PATTERNS.extract(text, "leaked")),
        Rule("answer_instead_of_message", answering.is_not_null(), answering),
        Rule("language_changed", language.scripts_differ(found, expected), found, expected),
        _REPEATS,
        Rule("asks_nothing", ~asks(text), text.str.slice(0, 80)),
    ]


def coherence_rules(settings: Conversations) -> list[Rule]:
    """Return the rules that reject a turn that does not follow from its conversation.

    The rules read probability (that the turn follows, by the judge) and unjudged (the error if there is none).
    """
    probability = pl.col("probability")
    return [
        Rule("not_judged", probability.is_null(), pl.col("unjudged")),
        Rule("incoherent", probability < settings.min_coherence, probability, settings.min_coherence),
    ]


_REPEATS = Rule("repeats_a_turn", pl.col("repeats") >= _ALIKE, pl.col("repeats"), _ALIKE)


def _find_copied(spoken: pl.DataFrame, asking: Asking) -> pl.DataFrame:
    """Return the user messages that share a run of words with an example of the prompt: row_id, reason, detail."""
    wording = prompts.load_bilingual("play_user", asking.settings.prompts_dir)
    messages = pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.col("text").fill_null("")))
    copies = find_copied_examples(spoken.select("row_id", messages.alias("messages")), [wording])
    detail = pl.struct(measure="span", threshold="item_id").struct.json_encode().alias("detail")
    return copies.select("row_id", pl.lit("prompt_example").alias("reason"), detail)


def _add_repetition(spoken: pl.DataFrame, role: str) -> pl.DataFrame:
    """Add `repeats`, the highest Jaccard similarity of the tokens of `text` and of an earlier turn of the row.

    A user's message is compared with all earlier turns, because it must not repeat the assistant either. An assistant's
    answer is only compared with earlier answers. `repeats` is 0 if there is no text.
    """
    turn = pl.element().struct
    earlier = turn.field("content") if role == "user" else turn.field("content").filter(turn.field("role") == role)
    pairs = spoken.select("row_id", "text", turn=pl.col("messages").list.eval(earlier)).explode("turn")
    one, other = (tokens(pl.col(name).fill_null("")).list.unique() for name in ("text", "turn"))
    both = one.list.set_intersection(other).list.len()
    same = normalize_text(pl.col("text")) == normalize_text(pl.col("turn"))
    alike = pl.when(same).then(1.0).otherwise(both / one.list.set_union(other).list.len())
    highest = pairs.select("row_id", repeats=alike.fill_nan(0.0)).group_by("row_id").agg(pl.col("repeats").max())
    return spoken.join(highest, on="row_id", how="left", maintain_order="left")


def _strip_speaker(text: pl.Expr) -> pl.Expr:
    """Remove a leading speaker's name from a message, and the quotation marks around it."""
    unnamed = text.str.replace(_PATTERNS["label"], "")
    return unnamed.str.replace(r'(?s)^["“](.*)["”]$', "${1}").str.strip_chars()


def _describe_persona() -> pl.Expr:
    """Return the labels that describe the user's interests: fine labels in English, coarse labels in Chinese."""
    english = pl.coalesce(pl.col("ability").list.head(_LABELS), "cate_ability").list.join(", ")
    chinese = pl.col("cate_ability").list.eval(pl.element().replace(ABILITIES)).list.head(_LABELS).list.join("、")
    labels = choose_language(english, chinese)
    return pl.when(labels.fill_null("") == "").then(choose_language(*map(pl.lit, _PERSONS))).otherwise(labels)


def _format_transcript() -> pl.Expr:
    """Return the transcript of a conversation, with the speakers' names in the language of the row."""
    turn = pl.element().struct

    def format_turns(names: tuple[str, str]) -> pl.Expr:
        name = turn.field("role").replace({"user": names[0], "assistant": names[1]})
        return pl.col("messages").list.eval(pl.concat_str(name, pl.lit(": "), turn.field("content"))).list.join("\n")

    return choose_language(*map(format_turns, _SPEAKERS))


def _draw_aim(going: pl.DataFrame) -> pl.Expr:
    """Draw the aim of the next user message of each conversation."""
    numbered = going.select(pl.concat_str("row_id", pl.col("turns").cast(pl.String), separator=" ")).to_series()
    place = (pl.lit(draw(f"{_STAGE} aim", numbered)) * len(_AIMS)).floor().cast(pl.Int64)
    english, chinese = (pl.lit(pl.Series(aims)).gather(place) for aims in zip(*_AIMS, strict=True))
    return choose_language(english, chinese)
