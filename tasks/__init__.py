"""Celery: the app, the engine, the doorbell, and what Flower sees."""
