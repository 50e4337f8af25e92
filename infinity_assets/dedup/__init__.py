"""De-duplication: the records with the same content, and the survivor of each group."""
