"""Floor 2: a mark in the picture that is not seen and is read back: 48 bits, a key a deployment.
Arrays in, arrays out; knows no file, no plan and no job.
"""
