"""One run over one partition: every due job from its audio to its stored raw answer, streaming.

What belongs here: the order of steps for one job, how many run at once, and what each outcome makes
of the attempt. What does not: what any provider says (``providers/``), what is durable (the ledger)
and what comes before and after (``pipeline.py``, its only caller).

Read ``partition_run.py`` first: it tells the story of one job. ``preparing.py`` looks into the
audio, ``submitting.py`` sends the paid request, ``waiting.py`` waits for the provider,
``resuming.py`` takes up what an earlier run left, ``collecting.py`` keeps the answer;
``workplace.py`` is what all of them share.
"""

from transcription_pipeline.engine.limits import RunLimits
from transcription_pipeline.engine.partition_run import PartitionRun
from transcription_pipeline.engine.report import RunReport

__all__ = ["PartitionRun", "RunLimits", "RunReport"]
