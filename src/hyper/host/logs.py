"""Owns how hyperd's log looks: lines of text for people, or one JSON object a line for machines.

Keys of an object: time (RFC 3339, UTC), level (as dockerd spells them), logger, msg; in all lines
written for one request to the API its `request`; those of `extra`'s `fields`; and for an unexpected
error `error`, its traceback.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

FORMATS = ("text", "json")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

request: ContextVar[str] = ContextVar("request", default="")
"""The id of the request to the API that is served in this context."""
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}


class JsonFormatter(logging.Formatter):
    """Makes a record one JSON object without a line break."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object's text."""
        time = datetime.fromtimestamp(record.created, UTC)
        shown = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": _LEVELS.get(record.levelno, record.levelname.lower()),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if number := request.get():
            shown["request"] = number
        shown |= getattr(record, "fields", {})
        if record.exc_info:
            shown["error"] = self.formatException(record.exc_info)
        return json.dumps(shown, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Makes a record a line that ends with its request, if it has one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        number = request.get()
        return super().formatMessage(record) + (f" [{number}]" if number else "")


def configure(level: int, form: str) -> None:
    """Send the log to stderr in one of `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
