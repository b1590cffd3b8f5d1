#!/bin/sh
# What guides to hardening a mail server tell to run every hour: one pass through the log for each question.
# Enters: a log and a day as the log writes it. Leaves: the day's totals, and who was refused most often.
set -eu

log=$1 day=$2

# on_day PATTERN: how many lines of the day have it.
# shellcheck disable=SC2126 # grep -c is quicker, and not what the guides tell
on_day() { grep "$1" "$log" | grep "$day" | wc -l; }

echo "logins failed: $(on_day 'authentication failed')"
echo "relaying denied: $(on_day 'Relay access denied')"
echo "refused: $(on_day 'reject:')"
echo "TLS errors: $(on_day 'TLS.*error')"
echo "most often refused:"
grep 'reject:' "$log" | grep "$day" | awk '{print $7}' | sort | uniq -c | sort -rn | head -10
