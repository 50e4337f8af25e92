"""De-duplication and decontamination."""
