"""Suspected faults, one family a file: what the reference's actions would be with the fault, held against the candidate's."""
