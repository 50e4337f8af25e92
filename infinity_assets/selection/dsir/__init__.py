"""DSIR: data selection by importance resampling (Xie et al., arXiv 2302.03169), in batches.

A text is a bag of hashed n-grams. Let p be the share of an n-gram in the target, and q its share in the raw pool. Then
the log weight of a row x is

    log w(x) = sum over its n-grams of log(p + 1e-8) - log(q + 1e-8)

`features` hashes n-grams, `weights` counts them and computes log weights, `passes` does both for a pool, and `drawing`
draws rows by weight. docs/dsir.md describes smoothing, lengths, and the comparison with the reference package.
"""
