"""/v1/videos: the same jobs in the words of the official `openai` clients. docs/openai.md."""
