"""Assets of the group `curate`: de-duplication and decontamination."""
