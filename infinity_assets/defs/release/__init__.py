"""What trainers get."""
