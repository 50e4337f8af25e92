"""Assets of the group `chat`: seeds, evolution, answers, diagnosis, conversations and InfInstruct-G."""
