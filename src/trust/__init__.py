"""Floor 2: what a clip says of itself that others can check: signed provenance (C2PA), written and
read. Knows no model and no plan; needs the extra `requirements-trust.txt`.
"""
