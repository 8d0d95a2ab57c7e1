"""What runs prompts inside each worker: claims them, runs them, hands in what they left.

Many threads, one concern each: the event loop runs the executors (`running`), one thread exchanges ended attempts for
new ones with the store (`exchanging`), one keeps the leases (`leases`), one mends what time has broken (`duties`), and
one for each audience tells what has been committed (`outlets`). They meet in `slots`. Nothing here knows Celery, and no
rule of a prompt's life is decided here: `domain.lifecycle` does that, behind the store.
"""
