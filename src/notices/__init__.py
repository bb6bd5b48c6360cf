"""Floor 2: who is told of what happened to jobs: an outbox, and the channels that it is sent by."""
