"""A key does not occur in cleaned texts."""

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.inference.engines.secret import TELLING, Secret

KEYS = st.text("abcXYZ0189-_/+=\"\\'.", min_size=2 * TELLING, max_size=80)
AROUND = st.text("xyz \n:", max_size=9)


@given(KEYS, AROUND, AROUND)
def test_no_spelling_of_a_key_survives_cleaning(key, before, after):
    secret = Secret(key)
    for text in (
        before + key + after,
        quote(before + key + after, safe=""),
        json.dumps(before + key + after),
        f"{before} {key[: len(key) // 2 + 1]}... {after}",
    ):
        cleaned = secret.clean(text)
        assert not any(key[start : start + TELLING] in cleaned for start in range(len(key) - TELLING + 1))
    encoded = base64.b64encode((before + key + after).encode()).decode()
    seen = secret.clean(encoded)
    for start in range(0, len(encoded), 4):
        # The remaining text decodes to little of the key.
        assert encoded[start : start + 4 * TELLING] not in seen or key not in base64.b64decode(encoded[start:]).decode(
            errors="replace"
        )


@given(KEYS, st.text("mnopqr ST", max_size=200))
def test_texts_without_the_key_do_not_change(key, text):
    secret = Secret(key)
    assert secret.clean(text) == secret.strip(text) == text


def test_repr_and_str_hide_the_key():
    assert "sk-" not in repr([Secret("sk-0123456789")]) + str(Secret("sk-0123456789"))


def test_an_empty_key_masks_nothing():
    assert Secret("").clean("a text*** ") == "a text*** "
