"""Where the weights of models lie, how they get there, and what is known of their tokens without loading them."""
