"""DSIR: data selection by importance resampling (Xie et al., arXiv 2302.03169), streaming.

A text is a bag of hashed n-grams. With distributions p in the target and q in the raw pool, a row weighs

    log w(x) = sum over its n-grams of log(p + 1e-8) - log(q + 1e-8)

`features` hashes n-grams, `weights` counts them and weighs texts, `passes` does both for a pool in batches, and
`drawing` orders rows by weight, with noise. docs/dsir.md describes smoothing, lengths, and the comparison with the
reference package.
"""
