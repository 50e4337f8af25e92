"""Instruction data as a Dagster asset graph: raw open datasets in, InfInstruct-F and InfInstruct-G out, every row explained."""
