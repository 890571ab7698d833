"""The sentences with which AssemblyAI refuses a request or fails a job, word for word.

Clients classify by these texts, so they are kept in one place and are not improved. Texts marked
"not documented" are ours. ``work.py`` puts the job errors into a transcript.
"""

from __future__ import annotations

from starlette.responses import Response

from transcription_pipeline.emulators.endpoints import Refused, answer_json

# API reference, responses of every path, 2026-08-18.
NO_AUDIO_URL = "Transcript creation error, audio_url not found"
NOT_AUTHENTICATED = "Authentication error, API token missing/invalid"
NOT_YOUR_UPLOAD = "Cannot access uploaded file"
NOT_FOUND = "Not found"
TOO_MANY_REQUESTS = "Too Many Requests"
SERVER_ERROR = (
    "Internal server error. Please retry your request. If the error persists, please contact "
    "support@assemblyai.com for more information."
)
# API reference, POST /v2/upload, 422 text/plain.
UPLOAD_FAILED = (
    "Upload failed, please try again. If you continue to have issues please reach out to "
    "support@assemblyai.com"
)
# Docs page "Common errors and solutions", and recorded 2026-10-03: 400, never 404.
NO_SUCH_TRANSCRIPT = "Transcript lookup error, transcript id not found"
NEGATIVE_BALANCE = (
    "Your current account balance is negative. Please top up to continue using the API."
)
# Recorded 2026 by several users; the list of models varies by time and region.
BAD_SPEECH_MODELS = (
    '"speech_models" must be a non-empty list containing one or more of: "universal-3-pro", '
    '"universal-2", "universal-3-5-pro"'
)
# Recorded by several users since 2024, for bodies with unknown fields.
BAD_SCHEMA = "Invalid endpoint schema, please refer to documentation for examples."
# Recorded 2025-07-25, https://github.com/PipedreamHQ/pipedream/issues/17808.
WRONG_ORDER = "'after_id' must be a newer transcript than 'before_id'"
# Recorded by a third party's re-description of the API.
NO_REDACTED_AUDIO = (
    "A redacted audio file for this transcript ID doesn't exist. Try submitting the transcript "
    "again with `redact_pii_audio` set to `true`."
)
STILL_IN_PROGRESS = (
    "Transcription is still in progress. Redacted audio will be available after it has completed."
)

# Not documented; we chose these sentences, and 400 for all of them.
NOT_COMPLETED = "Transcript is not completed, its status is {status}"
NOT_DELETABLE = "Transcript is still in progress and cannot be deleted"
REDACTED_AUDIO_EXPIRED = "The redacted audio file for this transcript is no longer available."
UPLOAD_TOO_LARGE = "Upload failed, the file is larger than 2.2 GB"
BAD_QUERY = "{name} is invalid"
NO_WORDS = "words not found"

# Job errors: HTTP 200 with status "error". Docs pages "Common errors and solutions",
# "Speech threshold", "Automatic language detection", and the API overview.
UNABLE_TO_DOWNLOAD = (
    "Download error, unable to download {url}. Please make sure the file exists and is accessible "
    "from the internet."
)
DOWNLOAD_STATUS = "Download error to {url}, {status} {kind} Error: {reason} for url: {url}"
WORKERS_FAILED = "Server error, developers have been alerted"
UNABLE_TO_ACCESS = "Download error, unable to access file at {url}"
NOT_AUDIO = "File does not appear to contain audio. File type is {mime_type} ({description})."
TOO_SHORT = "Audio duration is too short."
TOO_LONG = "Audio duration is too long"
BELOW_SPEECH_THRESHOLD = (
    "Audio speech threshold {found} is below the requested speech threshold value {wanted}"
)
BELOW_LANGUAGE_THRESHOLD = (
    "detected language '{language}', confidence {found}, is below the requested confidence "
    "threshold value of '{wanted}'"
)


class Refusal(Refused):
    """A request that gets an HTTP error with ``{"error": message}``."""

    def __init__(
        self, message: str, status: int = 400, headers: dict[str, str] | None = None
    ) -> None:
        self.message = message
        self.status = status
        self.headers = headers
        super().__init__(message)

    def answer(self, _at: float, /) -> Response:
        """Write the error."""
        return answer_json({"error": self.message}, self.status, self.headers)
