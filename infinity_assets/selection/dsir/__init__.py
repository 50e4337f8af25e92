"""DSIR: data selection by importance resampling (Xie et al., arXiv 2302.03169), streaming.

A text is a bag of hashed n-grams. With distributions p in the target and q in the raw pool, a row weighs

    log w(x) = sum over its n-grams of log(p + 1e-8) - log(q + 1e-8)

Rows are drawn without replacement: Gumbel noise is added to the weights, and the largest are taken within each stratum
of length.

    features    texts -> hashed n-grams
    weights     n-grams -> counts, which add up over shards -> weights
    passes      counts and weights over the rows of a pool, in batches
    drawing     weights -> the order in which rows are drawn

docs/dsir.md describes smoothing, lengths, and the comparison with the reference package.
"""
