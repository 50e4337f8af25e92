"""DSIR: data selection by importance resampling (Xie et al., arXiv 2302.03169), streaming.

A text is a bag of hashed n-grams. p is their distribution in the target, q in the raw pool, and a row's importance weight is

    log w(x) = sum over its n-grams of log(p + 1e-8) - log(q + 1e-8)

Rows are drawn without replacement by adding Gumbel noise to the weight and taking the largest, stratum of length by stratum of length.

    features    texts -> hashed n-grams
    weights     n-grams -> counts, which add up over shards -> weights
    passes      both over the rows of a pool, a batch at a time
    drawing     weights -> the order in which rows are drawn

docs/dsir.md says how smoothing and lengths are handled, and how all this is held against the reference package.
"""
