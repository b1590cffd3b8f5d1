"""The header of a log record: its time, host, tag and pid, in every form that a Postfix log comes in."""
