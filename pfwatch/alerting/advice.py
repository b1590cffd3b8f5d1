"""What each rule's finding means and what to do about it: the words of the alert mails, as data.

Enters: the name of a rule, addresses to write into commands. Leaves: sentences and commands ready to be pasted.
This file must never know mail or templates. A command is built from addresses that `ipaddress` has understood and from
nothing else: text out of a log never becomes part of a command.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

Network = IPv4Network | IPv6Network

_CLIENTS = 5
"""Addresses of an attacking network that one search looks for."""
_PLACEHOLDER = re.compile(r"\{(subject|family|client|clients|there)\}")


class Step(msgspec.Struct, frozen=True):
    """One thing to do; `steps()` fills in `{subject}`, `{family}`, `{client}`, `{clients}` and `{there}`."""

    text: str
    commands: tuple[str, ...] = ()


class Advice(msgspec.Struct, frozen=True):
    """One rule in plain words."""

    sentence: str
    """The finding; `{subject}`, `{host}`, `{times}` and `{period}` are filled in."""
    counted: str
    """What the count counts, as the label of a fact."""
    field: str
    """The field of `tops` that completes the sentence."""
    one: str
    """The completion when there was one text in that field: `{name}`."""
    many: str
    """When there were several: `{number}` and the most frequent `{name}`."""
    meaning: str
    steps: tuple[Step, ...]


BLOCK = Step(
    "Block the address; one line, for the firewall that you use. It stays blocked until the firewall is reloaded (ufw: "
    "until you delete the rule):",
    (
        "sudo nft insert rule inet filter input {family} saddr {subject} drop",
        "sudo ufw prepend deny from {subject}",
        "sudo firewall-cmd --zone=drop --add-source={subject}",
    ),
)

BLOCK_IN_POSTSCREEN = Step(
    "Or let postscreen refuse it on port 25, where postscreen_access_list names this file:",
    (
        "echo '{subject} reject' | sudo tee -a /etc/postfix/postscreen_access.cidr",
        "sudo postfix reload",
    ),
)

ADVICE: dict[str, Advice] = {
    "auth-bruteforce": Advice(
        sentence="{subject} failed to log in to {host} {times} {period}",
        counted="Failed logins",
        field="account",
        one=", always as {name}",
        many=", as {number} different accounts, most often as {name}",
        meaning=(
            "Somebody is guessing passwords, or a forgotten device keeps trying an old one: guessing tries many "
            "accounts or never ends, a device has one account and a steady rhythm. These attempts failed; what "
            "matters is whether another one got in."
        ),
        steps=(
            Step(
                "See whether a login from {there} succeeded. No output: none that sent mail.",
                ("sudo zgrep -hE 'client=[^ ]*\\[({clients})\\].*sasl_username=' /var/log/mail.log*",),
            ),
            Step(
                "If one did, change that account's password now and look at what it is sending:",
                ("sudo postqueue -p",),
            ),
            BLOCK,
        ),
    ),
    "relay-probe": Advice(
        sentence="{subject} tried {times} {period} to send mail through {host} to addresses elsewhere, and was refused",
        counted="Refused attempts",
        field="recipient",
        one=" (always to {name})",
        many=" (to {number} different addresses, most often {name})",
        meaning=(
            "Somebody is looking for an open relay, or one of your own users or machines sends without logging in. "
            "Nothing was relayed: every attempt counted here was refused."
        ),
        steps=(
            Step(
                "Check that Postfix accepted nothing else from {there}. No output: no message was accepted.",
                ("sudo zgrep -hE ': client=[^ ]*\\[({clients})\\]' /var/log/mail.log*",),
            ),
            Step(
                "Check who may relay; reject_unauth_destination or defer_unauth_destination has to be there, and "
                "mynetworks should hold your own networks only:",
                ("postconf smtpd_relay_restrictions smtpd_recipient_restrictions mynetworks",),
            ),
            Step("If it is one of yours, let it log in (submission, port 587 or 465). If it is not, go on:"),
            BLOCK,
            BLOCK_IN_POSTSCREEN,
        ),
    ),
    "tls-client-failures": Advice(
        sentence="{subject} and {host} failed to agree on TLS {times} {period}",
        counted="Failed handshakes",
        field="error",
        one=" ({name})",
        many=" ({number} kinds of error, most often {name})",
        meaning=(
            "Usually a scanner, or an old mail server or device that knows only protocols which are switched off "
            "here. No mail was taken over these connections; a sender that insists on TLS cannot reach you."
        ),
        steps=(
            Step(
                "See which protocols this server allows:",
                ("postconf smtpd_tls_protocols smtpd_tls_mandatory_protocols smtpd_tls_ciphers",),
            ),
            Step(
                "See which TLS version and ciphers the client offers, at its next attempt (needs the package tshark):",
                (
                    "sudo tshark -i any -f 'host {client}' -O tls \\",
                    "  -Y 'tls.handshake.type == 1'",
                ),
            ),
            Step(
                "If it is somebody whose mail you want, have that side updated rather than this server's TLS weakened. "
                "If it is a scanner, nothing needs to be done."
            ),
        ),
    ),
}

OTHER = Advice(
    sentence="{subject} was noticed on {host} {times} {period}",
    counted="Events",
    field="account",
    one=" (account {name})",
    many=" ({number} accounts, most often {name})",
    meaning="The rule's page in the documentation says what it counts and why that matters.",
    steps=(Step("If you do not want this address here, block it:"), BLOCK),
)


def advice(rule: str) -> Advice:
    """The words for a rule; general ones for a rule without its own."""
    return ADVICE.get(rule, OTHER)


def network(text: str) -> Network | None:
    """The address or network that `text` is; None when it is neither, and then no command is built from it."""
    try:
        found = ip_network(text)
    except ValueError:
        return None
    return None if getattr(found.network_address, "scope_id", None) else found


def steps(rule: str, subject: str, clients: list[str]) -> list[Step]:
    """What to do, with the addresses written in. `clients` are single addresses within the subject, busiest first.

    A step with a command whose address is not known is left out.
    """
    words = _words(network(subject), [found for text in clients if (found := network(text)) and _is_single(found)])
    filled = (_filled(step, words) for step in advice(rule).steps)
    return [step for step in filled if step is not None]


def _words(target: Network | None, clients: list[Network]) -> dict[str, str]:
    words: dict[str, str] = {}
    if target is not None:
        words["subject"] = words["there"] = _plain(target)
        words["family"] = "ip" if target.version == 4 else "ip6"
        if _is_single(target):
            clients = [target]
        elif clients:
            words["there"] = "the busiest addresses of " + words["subject"]
    if clients:
        words["client"] = _plain(clients[0])
        words["clients"] = "|".join(_plain(client).replace(".", "\\.") for client in clients[:_CLIENTS])
    return words


def _filled(step: Step, words: dict[str, str]) -> Step | None:
    needed = {name for text in (step.text, *step.commands) for name in _PLACEHOLDER.findall(text)}
    if not needed <= words.keys():
        return None

    def fill(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: words[found[1]], text)

    return Step(fill(step.text), tuple(fill(command) for command in step.commands))


def _is_single(found: Network) -> bool:
    return found.num_addresses == 1


def _plain(found: Network) -> str:
    return str(found.network_address) if _is_single(found) else str(found)
