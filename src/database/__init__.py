"""Floor 1: the database under jobs, accounts and artifacts: connection, tables, migrations,
backups. No torch.
"""
