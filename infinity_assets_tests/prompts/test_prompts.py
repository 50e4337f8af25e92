"""Prompts are data with a contract: the variables they declare are the variables they use, and a value is never read as a template."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets import prompts

EACH = pytest.mark.parametrize("name", prompts.names())


@EACH
def test_it_uses_what_it_declares_and_says_what_it_is_for(name: str) -> None:
    prompt = prompts.load(name)
    used = {variable for _, text in prompt.turns for variable in re.findall(r"\$\{?(\w+)", text)}
    assert used == set(prompt.variables) != set()
    assert prompt.version >= 1
    assert prompt.purpose


@EACH
def test_its_turns_are_a_conversation_that_waits_for_an_answer(name: str) -> None:
    roles = [role for role, _ in prompts.load(name).turns]
    turns = roles[roles[0] == "system" :]
    assert turns == [*["user", "assistant"] * (len(turns) // 2), "user"]


@EACH
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_values_stand_in_it_as_they_are(name: str, data: st.DataObject) -> None:
    prompt = prompts.load(name)
    values = {
        variable: data.draw(st.text("ab$ {}\n#数") | st.sampled_from(["$request", "## user", "$$", "---\n"]))
        for variable in prompt.variables
    }
    messages = prompt.render(**values)
    assert [message["role"] for message in messages] == [role for role, _ in prompt.turns]
    for (_, text), message in zip(prompt.turns, messages, strict=True):
        parts = re.split(r"\$(\w+)", text)
        assert message["content"] == "".join(values[part] if place % 2 else part for place, part in enumerate(parts))


@EACH
def test_other_variables_are_refused(name: str) -> None:
    prompt = prompts.load(name)
    values = dict.fromkeys(prompt.variables, "x")
    for wrong in ({**values, "surprise": "x"}, dict(list(values.items())[1:])):
        with pytest.raises(KeyError, match=name):
            prompt.render(**wrong)


def test_each_prompt_has_a_hash_of_its_own() -> None:
    loaded = [prompts.load(name) for name in prompts.names()]
    assert len({prompt.hash for prompt in loaded}) == len(loaded) > 0
    with pytest.raises(FileNotFoundError):
        prompts.load("no such prompt")
