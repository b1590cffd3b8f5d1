"""Settings that Postfix warns of: main.cf, master.cf, lookup tables' sources, access tables, old defaults.

Enters: match objects. Leaves: events and rules. This file must never know a client; the texts of access tables and old
defaults quote what a client typed, and that only goes into the text.
"""

import re

from pfwatch.events import Envelope, ServiceHealth
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import PATH, TABLE, health

_ADVICE = health("config_warning", part=True)
_WARNING = health("config_warning")


def _removed_support(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    """What is no longer supported, and the line behind it that tells where to read of it."""
    return (_WARNING if found["subject"] else _ADVICE)(envelope, found)


_SMTPD = "Nov 22 10:00:00 mx1 postfix/smtpd[301]: "

CONFIGURATION = (
    Rule(
        name="config-file-line",
        since="2.10",
        example=f"{_SMTPD}warning: /etc/postfix/main.cf, line 12: overriding earlier entry: myhostname=mx1.example.org",
        pattern=rf"warning: (?:(?:[a-z]++ map )?{PATH}, line|[a-z]++ map inline:[^,]++, line) [0-9]++: "
        r"(?!missing \"EOF\"|malformed template|unknown template).*",
        words=("warning",),
        build=health("config_warning"),
        source="util/dict.c: dict_load_fp; util/dict_cidr.c, dict_pcre.c, dict_regexp.c, dict_thash.c; postmap, "
        "postalias",
    ),
    Rule(
        name="config-removed-support",
        since="2.10",
        example=f'{_SMTPD}warning: support for restriction "reject_maps_rbl" will be removed from Postfix; use '
        '"reject_rbl_client domain-name" instead',
        pattern=r'warning: (?:(?:[^ ]+: )?support for [a-z]++ "?(?P<subject>[A-Za-z0-9_.-]++)"? (?:will be|has been) '
        r"removed.*|[Ss]ee https?://[a-z.]++/DEPRECATION_README\.html.*)",
        words=("warning",),
        build=_removed_support,
        source="smtpd/smtpd_check.c: generic_checks; postconf/postconf_unused.c (3.9)",
    ),
    Rule(
        name="config-restriction",
        since="2.10",
        example=f'{_SMTPD}warning: unknown smtpd restriction: "reject_everybody"',
        pattern=r"warning: (?:unknown smtpd restriction: [\"'`](?P<subject>[^\"' ]++)[\"'].*"
        r"|restriction [\"'`]?[a-z0-9_]++[\"']?(?: after |:? (?:ignored|is|must|requires|returns|bad argument)\b).*"
        r"|specify one of \([^)]*+\) before [a-z0-9_]++ restriction .*)",
        words=("warning",),
        build=health("config_warning"),
        source="smtpd/smtpd_check.c: generic_checks",
    ),
    Rule(
        name="config-access-table",
        since="2.10",
        example=f'{_SMTPD}warning: access table hash:/etc/postfix/access entry "example.com" has FILTER entry without '
        "value",
        pattern=rf"warning: access table {TABLE}(?: entry |: (?:action|with) | has entry ).*",
        words=("warning",),
        build=health("config_warning"),
        source="smtpd/smtpd_check.c: check_table_result",
    ),
    Rule(
        name="config-access-table-advice",
        since="2.10",
        example=f"{_SMTPD}warning: do not specify lookup tables inside SMTPD access maps",
        pattern=r"warning: (?:do not specify lookup tables inside SMTPD access maps"
        r"|define a restriction class and specify its name instead\.)",
        words=("warning",),
        build=health("config_warning", part=True),
        source="smtpd/smtpd_check.c: check_table_result",
    ),
    Rule(
        name="config-table-result",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/smtp[306]: warning: unsupported command in smtp_header_checks map: REJECT",
        pattern=r"warning: unsupported command in (?P<subject>[a-z0-9_]++) map: .*",
        words=("warning",),
        build=health("config_warning"),
        source="global/header_body_checks.c: hbc_action; cleanup has its own",
    ),
    Rule(
        name="config-table-value",
        since="2.10",
        example='Nov 22 10:00:00 mx1 postfix/trivial-rewrite[307]: warning: table "hash:/etc/postfix/transport": empty '
        'lookup result for: "example.org" -- ignored',
        pattern=rf'warning: table (?:"(?:[a-z][a-z0-9_-]*+:[^"]++)": empty (?:lookup result|query string)|{TABLE}: '
        r"key ).*",
        words=("warning",),
        build=health("config_warning"),
        source="global/maps.c: maps_find; util/dict.c",
    ),
    Rule(
        name="config-no-table-service",
        since="2.10",
        example=f'{_SMTPD}warning: proxymap service is not configured for table "hash:/etc/postfix/access"',
        pattern=r"warning: proxy(?:map|write) (?:service|update access) is not configured for table "
        r'"(?P<subject>[^"]++)"',
        words=("warning",),
        build=health("config_warning"),
        source="global/dict_proxy.c: dict_proxy_open",
    ),
    Rule(
        name="config-protocol-disabled",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/master[99]: warning: inet_protocols: disabling IPv6 name/address support: "
        "Address family not supported by protocol",
        pattern=r"warning: (?P<subject>[a-z0-9_]++): (?:disabling IPv[46] name/address support: .*"
        r"|IPv[46] support is disabled.*)",
        words=("warning",),
        build=health("config_warning"),
        source="util/inet_proto.c: inet_proto_init",
    ),
    Rule(
        name="config-utf8",
        since="3.0",
        example=f"{_SMTPD}warning: smtputf8_enable is true, but EAI support is not compiled in",
        pattern=r"warning: (?P<subject>smtputf8_enable) is (?:true|set to \"?[a-z]++\"?), but EAI support is not "
        r"compiled in",
        words=("warning",),
        build=health("config_warning"),
        source="global/mail_params.c: check_mail_owner, mail_params_init",
    ),
    Rule(
        name="config-hostname",
        since="2.10",
        example=f"{_SMTPD}warning: My hostname mx1 is not a fully qualified name - set myhostname or mydomain in "
        "/etc/postfix/main.cf",
        pattern=r"warning: My hostname (?P<subject>[^ ]++) is not a fully qualified name - .*",
        words=("warning",),
        build=health("config_warning"),
        source="global/mail_params.c: check_myhostname",
    ),
    Rule(
        name="config-problem",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/trivial-rewrite[307]: warning: relayhost configuration problem",
        pattern=r"warning: (?P<subject>[a-z0-9_]++) configuration problem",
        words=("warning",),
        build=health("config_warning"),
        source="trivial-rewrite/resolve.c: resolve_addr; smtp/smtp_connect.c",
    ),
    Rule(
        name="config-size-limits",
        since="2.10",
        example=f"{_SMTPD}warning: queue_minfree(1000) should be at least 1.5*message_size_limit(10240000)",
        pattern=r"warning: (?P<subject>[a-z_]++)\([0-9]++\) should be at least 1\.5\*[a-z_]++\([0-9]++\)",
        words=("warning",),
        build=health("config_warning"),
        source="smtpd/smtpd.c: post_jail_init",
    ),
    Rule(
        name="config-adjusting",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/qmgr[218]: warning: qmgr_message_active_limit is smaller than "
        "qmgr_message_recipient_minimum - adjusting qmgr_message_active_limit",
        pattern=r"warning: (?P<subject>[a-z_]++) is (?:smaller|larger) than [a-z_]++ - adjusting [a-z_]++",
        words=("warning",),
        build=health("config_warning"),
        source="qmgr/qmgr.c: qmgr_post_init",
    ),
    Rule(
        name="config-milter",
        since="2.10",
        example=f'{_SMTPD}warning: Milter service needs transport:endpoint instead of "127.0.0.1"',
        pattern=r"warning: (?:Milter service needs transport:endpoint instead of .*"
        r"|invalid transport name: [^ ]++ in Milter service: (?P<subject>[^ ]++))",
        words=("warning",),
        build=health("config_warning"),
        source="milter/milter8.c: milter8_create",
    ),
    Rule(
        name="config-sasl-type",
        since="2.10",
        example=f"{_SMTPD}warning: unsupported SASL server implementation: dovekot",
        pattern=r"warning: unsupported SASL (?:server|client) implementation: (?P<subject>[^ ]++)",
        words=("warning",),
        build=health("config_warning"),
        source="xsasl/xsasl_server.c, xsasl_client.c",
    ),
    Rule(
        # A client's name, address or mail address stands behind the parameter: only the parameter is read.
        name="compatibility-default",
        since="3.0",
        example=f"{_SMTPD}using backwards-compatible default setting smtputf8_enable=no to accept non-ASCII recipient "
        'address "alice@example.org" from unknown[192.0.2.9]',
        pattern=r'using backwards-compatible default setting "?(?P<subject>[a-z0-9_]++)(?: ?=.*)?',
        words=("using",),
        build=health("compatibility"),
        source="smtpd/smtpd_check.c, smtpd.c; trivial-rewrite/rewrite.c; global/flush_clnt.c and others",
    ),
    Rule(
        name="compatibility-library",
        since="3.6",
        example=f"{_SMTPD}tls_library_init: using backwards-compatible defaults",
        pattern=r"(?P<subject>[a-z_]++): using backwards-compatible defaults",
        words=("tls_library_init",),
        build=health("compatibility"),
        source="tls/tls_misc.c: tls_library_init",
    ),
)
