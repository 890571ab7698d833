"""The proof that nothing is paid twice and nothing is lost: workers are killed, invoices compared.

``python -m proof`` prints one table. The pipeline is not changed for it: a worker process builds the
real tools and wraps only what is injected into them.
"""
