"""Suspected faults, one family a file: the reference's actions with the fault, held against the candidate's."""
