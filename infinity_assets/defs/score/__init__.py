"""Assets of the group `score`: scores and measures of rows, stored so that a new threshold never runs a model again."""
