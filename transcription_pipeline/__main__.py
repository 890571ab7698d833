"""``python -m transcription_pipeline`` and the ``tp`` command."""

from __future__ import annotations

import logging

from transcription_pipeline.cli.commands import commands


def main() -> None:
    """Run a command."""
    # These libraries log whole URLs; a signed one is a key to the audio.
    for name in ("botocore", "boto3", "urllib3", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    commands(prog_name="tp")


if __name__ == "__main__":
    main()
