"""python -m src.certificates FOLDER: an own certificate authority for a trial of signed clips."""

from src.cli.certificates import certificates_app

if __name__ == "__main__":
    certificates_app()(prog_name="python -m src.certificates")
