"""Lines of Postfix and Dovecot in which strangers typed something.

Enters: typed bytes. Leaves: whole lines that hold them where Postfix would write them, and `INJECTED` in nothing else.
"""

from collections.abc import Callable
from typing import Final

INJECTED: Final = "203.0.113.9"
"""Stands in typed text only."""
_SMTPD: Final = b"Nov 22 11:15:26 mx1 postfix/smtpd[7]: "
_SMTP: Final = b"Nov 22 11:15:26 mx1 postfix/smtp[8]: "
_CLEANUP: Final = b"Nov 22 11:15:26 mx1 postfix/cleanup[9]: "
_OTHER: Final = b"Nov 22 11:15:26 mx1 "
_CLIENT: Final = b"unknown[192.0.2.7]"

_RAW: Final = (
    (_SMTPD, b"NOQUEUE: reject: RCPT from %c: 554 5.7.1 <%t>: Relay access denied; from=<%t> to=<%t> proto=ESMTP "
     b"helo=<%t>"),
    (_SMTPD, b"NOQUEUE: reject: MAIL from %c: 450 4.1.8 <%t>: Sender address rejected: %t; from=<%t> proto=SMTP "
     b"helo=<%t>"),
    (_SMTPD, b"A3F0070: milter-reject: END-OF-MESSAGE from %c: 5.7.1 %t; from=<%t> to=<%t> proto=ESMTP helo=<%t>"),
    (_SMTPD, b"NOQUEUE: reject_warning: RCPT from %c: 450 4.7.1 %t; from=<%t> to=<%t> proto=ESMTP helo=<%t>"),
    (_SMTPD, b"warning: %c: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=%t"),
    (_SMTPD, b"warning: %c: SASL PLAIN authentication failed: %t, sasl_username=%t"),
    (_SMTPD, b"warning: %c: SASL %t authentication failed: Invalid authentication mechanism"),
    (_SMTPD, b"A3F0070: client=%c, sasl_method=LOGIN, sasl_username=%t, sasl_sender=%t"),
    (_SMTPD, b"A3F0070: client=%c, orig_queue_id=B3F0070, orig_client=%t"),
    (_SMTPD, b"warning: non-SMTP command from %c: %t"),
    (_SMTPD, b"improper command pipelining after DATA from %c: %t"),
    (_SMTPD, b"warning: Illegal address syntax from %c in RCPT command: %t"),
    (_SMTPD, b"warning: %c: request longer than 2048: %t..."),
    (_SMTPD, b"warning: TLS library problem: %t"),
    (_CLEANUP, b"A3F0070: message-id=<%t>"),
    (_CLEANUP, b"A3F0070: reject: header Subject: %t from %c; from=<%q> to=<%q> proto=ESMTP helo=<%h>: 5.7.1 no"),
    (_CLEANUP, b"A3F0070: warning: body %t from %c; from=<%q> to=<%q> proto=ESMTP helo=<%h>: suspicious"),
    (_SMTP, b"A3F0070: host mx.example.net[198.51.100.4] said: 450 4.2.0 %t (in reply to RCPT TO command)"),
    (_SMTP, b"A3F0070: to=<%q>, relay=mx.example.net[198.51.100.4]:25, delay=1, delays=0/0/0/1, dsn=4.2.0, "
     b"status=deferred (host mx.example.net[198.51.100.4] said: 450 %t)"),
    (_SMTP, b"A3F0070: to=<%q>, orig_to=<%q>, relay=none, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (%t)"),
    (_OTHER, b"postfix/qmgr[5]: A3F0070: from=<%q>, size=100, nrcpt=1 (queue active)"),
    (_OTHER, b"postfix/postscreen[4]: PREGREET 11 after 0.1 from [192.0.2.7]:5000: %t"),
    (_OTHER, b"postfix/postscreen[4]: NOQUEUE: reject: RCPT from [192.0.2.7]:5000: 550 5.7.1 Service unavailable; "
     b"from=<%q>, to=<%q>, proto=ESMTP, helo=<%h>"),
    (_OTHER, b"dovecot: imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<%t>, method=PLAIN, "
     b"rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>"),
)  # fmt: skip
COUNT: Final = len(_RAW)

_CONTROL: Final = bytes.maketrans(bytes((*range(32), 127)), b"?" * 33)


def printable(typed: bytes) -> bytes:
    """As Postfix writes it: no control character passes."""
    return typed.translate(_CONTROL)


def _quoted(typed: bytes) -> bytes:
    """An address in external form: whatever could end it is inside quotes (info_log_address_format)."""
    return b'"%s"@example.net' % printable(typed).replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _without_blanks(typed: bytes) -> bytes:
    return printable(typed).replace(b" ", b"?")


_WRITTEN: Final[dict[bytes, Callable[[bytes], bytes]]] = {b"%t": printable, b"%q": _quoted, b"%h": _without_blanks}


def line(number: int, typed: list[bytes]) -> bytes:
    """The template of this number, filled with these texts in turn."""
    head, text = _RAW[number % COUNT]
    filled, turn = head, 0
    text = text.replace(b"%c", _CLIENT)
    while (place := text.find(b"%")) >= 0:
        filled += text[:place] + _WRITTEN[text[place : place + 2]](typed[turn % len(typed)])
        text, turn = text[place + 2 :], turn + 1
    return filled + text + b"\n"
