"""De-duplication: finds records with the same or similar content, and the one that survives."""
