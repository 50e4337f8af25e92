"""The asset of the group `release`, which writes the released files."""
