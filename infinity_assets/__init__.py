"""Instruction data as a Dagster asset graph: from open datasets to InfInstruct-F and InfInstruct-G."""
