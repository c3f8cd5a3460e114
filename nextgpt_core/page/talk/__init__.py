"""A conversation here: its turns and replies as plain values, and the one answer that is under way.

`lane` leads to the model, `live` gathers what it answers, `costs` remembers how long media took.
"""
