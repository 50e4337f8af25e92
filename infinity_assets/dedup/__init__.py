"""De-duplication: which records have the same content, and which of them survives."""
