"""Logs of closed-loop evaluations as plain data, and two of them compared: same outcome, in the task itself?"""
