"""python -m src.audit verify|export|checkpoint|key|erase: the audit log of the service."""

from src.cli.audit import audit_app

if __name__ == "__main__":
    audit_app()(prog_name="python -m src.audit")
