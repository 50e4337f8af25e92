"""What a run would cost: calls observed on a sample, and the arithmetic that makes an estimate of them."""
