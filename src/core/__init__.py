"""Floor 0: errors, config, request, plan and result types. Imports neither torch nor any other
room.
"""
