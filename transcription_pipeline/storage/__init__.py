"""Where bytes live: the audio bucket and the lake, behind one protocol."""
