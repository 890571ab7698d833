"""``python -m transcription_pipeline`` and the ``tp`` command."""

from __future__ import annotations

from transcription_pipeline.cli.commands import commands
from transcription_pipeline.cli.output import end_gently


def main() -> None:
    """Run a command."""
    end_gently()
    commands(prog_name="tp")


if __name__ == "__main__":
    main()
