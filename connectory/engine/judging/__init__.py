"""Judging: which conditions hold, from (facts, past, now). Pure: no clock, no store, no chance.

``views`` says what is looked at, ``judge.judge`` puts the families together, ``catalogue`` says what each code means.
"""
