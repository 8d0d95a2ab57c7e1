"""The control: plain Celery with late acknowledgements, under faults of the suite.

What promptq promises over it is to be measured, and not taken for granted.
"""
