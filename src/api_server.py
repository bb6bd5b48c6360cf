"""uvicorn src.api_server:app --host 0.0.0.0 --port 8000: the HTTP service. Importing it leaves
torch out.
"""

from src.api.app import create_app
from src.console.output import sentences

with sentences():
    app = create_app()
