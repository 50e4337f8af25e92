"""Seeds, evolution, answers, diagnosis, InfInstruct-G."""
