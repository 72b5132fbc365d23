"""Log lines: text for people, or a JSON object each."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

FORMATS = ("text", "json")
_TEXT = "%(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: `time` (RFC 3339, UTC), `level`, `logger`, `message`, and `exception` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def set_up_logs(form: str, *, debug: bool) -> None:
    """Log to standard error. Libraries warn of what is ours to handle; what we warn of is the user's to know."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, format=_TEXT)
    ours = logging.getLogger("avagent")
    ours.setLevel(logging.DEBUG if debug else logging.WARNING)
    if form == "json":
        logging.getLogger("avagent.progress").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(_TEXT))


def json_logs() -> bool:
    """Whether log lines are JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
