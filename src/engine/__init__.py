"""Floor 4: the one road: request -> plan -> frames -> filters -> encode -> finishers -> publish ->
result.
"""
