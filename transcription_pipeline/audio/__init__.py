"""Reading audio: what it is (``probe``), what is in it (``decode``), what is said (``recognise``).

What does not belong here: where the bytes come from (``storage/``), and what a provider makes of
them (``providers/``). The pipeline probes; the local provider and the emulators recognise.
"""
