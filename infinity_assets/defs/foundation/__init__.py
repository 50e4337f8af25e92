"""Assets of the group `foundation`: InfInstruct-F and the loop that adjusts it."""
