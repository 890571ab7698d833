"""One client per provider, all behind the protocol of ``base.py``."""
