"""InfInstruct-F."""
