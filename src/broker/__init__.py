"""Floor 2: RabbitMQ through Celery, an extra: permits that tell workers to claim. No torch."""
