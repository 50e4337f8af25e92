"""The compiled comparison of two sets of shingles. The lowest bit of a shingle marks one that is in the answer."""

import numpy as np

from infinity_assets.dedup.comparing_kernels import similarity


def shingles(count: int, *, in_answer: bool) -> np.ndarray:
    return (np.arange(count, dtype=np.uint64) << np.uint64(1)) | np.uint64(in_answer)


def compare(one: np.ndarray, other: np.ndarray, answers_alike: bool) -> float:
    answered = [int((part & np.uint64(1)).sum()) for part in (one, other)]
    return float(similarity(one, other, 0.5, answers_alike, *answered))


def test_a_shingle_counts_for_the_answers_only_if_both_have_it_in_their_answer() -> None:
    answer, prompt = shingles(8, in_answer=True), shingles(8, in_answer=False)
    assert compare(answer, answer, answers_alike=True) == 1
    assert compare(answer, prompt, answers_alike=False) == 1
    assert compare(answer, prompt, answers_alike=True) == -1
    assert compare(prompt, answer, answers_alike=True) == -1
