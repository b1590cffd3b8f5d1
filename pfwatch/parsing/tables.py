"""Tables that cannot be opened, asked or trusted: local databases, LDAP, SQL, TCP, socketmap, memcache.

Enters: match objects. Leaves: events and rules. This file must never know which key was asked for: a client typed it,
and it stands behind the table's name.
"""

from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import PATH, TABLE, health, housekeeping

_SMTPD = "Nov 22 10:00:00 mx1 postfix/smtpd[301]: "
_REWRITE = "Nov 22 10:00:00 mx1 postfix/trivial-rewrite[307]: "

TABLES = (
    Rule(
        name="table-lookup-error",
        since="2.10",
        example=f'{_SMTPD}warning: hash:/etc/postfix/access lookup error for "alice@example.org"',
        pattern=rf'warning: {TABLE} lookup error(?: for ".*)?',
        words=("warning",),
        build=health("map_error"),
        source="global/maps.c: maps_find; smtpd/smtpd.c; postscreen/postscreen.c",
    ),
    Rule(
        name="table-unavailable",
        since="2.10",
        example=f"{_SMTPD}warning: hash:/etc/postfix/access is unavailable. open database /etc/postfix/access.db: "
        "No such file or directory",
        pattern=rf"warning: {TABLE} is unavailable\. .*",
        words=("warning",),
        build=health("map_error"),
        source="util/dict_surrogate.c: dict_surrogate",
    ),
    Rule(
        name="table-lookup-problem",
        since="2.10",
        example=f"{_REWRITE}warning: virtual_mailbox_domains: proxy:mysql:/etc/postfix/domains.cf: table lookup "
        "problem",
        pattern=rf"warning: (?:[A-Za-z0-9_]++: )?{TABLE}: (?:table lookup problem"
        r"|(?:table|mynetworks) lookup error -- ignoring the remainder of this access list)",
        words=("warning",),
        build=health("map_error"),
        source="util/match_ops.c: match_string; smtpd/smtpd_check.c; global/server_acl.c",
    ),
    Rule(
        name="table-map-problem",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/smtp[306]: warning: smtp_generic_maps map lookup problem for "
        "bob@example.org",
        pattern=r"warning: (?P<subject>[a-z0-9_]++) map lookup (?:problem|error)(?: .*)?",
        words=("warning",),
        build=health("map_error"),
        source="smtp/smtp_map11.c: smtp_map11_internal; cleanup has its own",
    ),
    Rule(
        name="table-error",
        since="2.10",
        example=f"{_SMTPD}warning: table socketmap:inet:127.0.0.1:8461:sts lookup error: Connection refused",
        pattern=rf"warning: (?:[A-Za-z0-9._-]++: )?table {TABLE} lookup error(?:[: ].*)?",
        words=("warning",),
        build=health("map_error"),
        source="util/dict_sockmap.c: dict_sockmap_lookup; smtp/smtp_sasl_glue.c",
    ),
    Rule(
        name="table-server-error",
        since="2.10",
        example=f"{_SMTPD}warning: socketmap:inet:127.0.0.1:8461:sts socketmap server temporary error: try again later",
        pattern=rf"warning: {TABLE} socketmap server [a-z]++ error.*",
        words=("warning",),
        build=health("map_error"),
        source="util/dict_sockmap.c: dict_sockmap_lookup",
    ),
    Rule(
        name="table-query-failed",
        since="2.10",
        example=f"{_SMTPD}warning: mysql:/etc/postfix/users.cf: query failed: MySQL server has gone away",
        pattern=rf"warning: (?:{TABLE}: |[a-z]++ )query failed(?: \([a-z_]++\))?: .*",
        words=("warning",),
        build=health("map_error"),
        source="global/dict_mysql.c, dict_pgsql.c: plmysql_query, plpgsql_query",
    ),
    Rule(
        name="table-server-down",
        since="2.10",
        example=f"{_SMTPD}warning: connect to mysql server 127.0.0.1: Can't connect to MySQL server on '127.0.0.1' "
        "(111)",
        pattern=r"warning: connect to (?:mysql|pgsql|mongodb) server (?P<subject>[^ ]+): .*",
        words=("warning",),
        build=health("map_error"),
        source="global/dict_mysql.c: plmysql_connect_single; global/dict_pgsql.c",
    ),
    Rule(
        name="table-tcp",
        since="2.10",
        example=f"{_SMTPD}warning: connect to TCP map 127.0.0.1:10666: Connection refused",
        pattern=r"warning: (?:connect to TCP map|read TCP map reply from|write TCP map query to) (?P<subject>[^ ]+): "
        r".*",
        words=("warning",),
        build=health("map_error"),
        source="util/dict_tcp.c: dict_tcp_connect, dict_tcp_lookup",
    ),
    Rule(
        name="table-memcache",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postscreen[304]: warning: database memcache:/etc/postfix/cache.cf: I/O "
        "error: "
        "Connection refused",
        pattern=rf"warning: database {TABLE}: (?:I/O error|update failed|delete failed|data for key ).*",
        words=("warning",),
        build=health("map_error"),
        source="global/dict_memcache.c",
    ),
    Rule(
        name="table-client",
        since="2.10",
        example=f"{_REWRITE}warning: dict_ldap_connect: Unable to bind to server ldap://ldap.example.org with dn "
        "cn=postfix,dc=example,dc=org: -1 (Can't contact LDAP server)",
        pattern=r"warning: dict_[a-z0-9_]++(?:\[[0-9]++\])?: (?:Unable to (?:bind to|init LDAP) server )?"
        r"(?P<subject>[a-z]++:[^ ]*[^ :](?=:? ))?.*",
        words=("warning",),
        build=health("map_error"),
        source="global/dict_ldap.c, dict_sqlite.c and the others: every message begins with the function",
    ),
    Rule(
        name="table-lookup-failed",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/local[310]: warning: hash:/etc/aliases: lookup of 'bob' failed",
        pattern=rf"warning: {TABLE}: lookup of '.*",
        words=("warning",),
        build=health("map_error"),
        source="local/alias.c: deliver_alias",
    ),
    Rule(
        name="table-open-failed",
        since="2.10",
        example=f"{_SMTPD}error: open database /etc/postfix/access.db: No such file or directory",
        pattern=rf"error: open (?:database )?{PATH}: .*",
        words=("error",),
        build=health("map_error"),
        source="util/dict_surrogate.c: dict_surrogate",
    ),
    Rule(
        name="table-type-unsupported",
        since="2.10",
        example=f"{_SMTPD}error: unsupported dictionary type: mysql. Is the postfix-mysql package installed?",
        pattern=r"(?:error|warning): unsupported dictionary type: (?P<subject>[a-z0-9_-]++).*",
        words=("error", "warning"),
        build=health("map_error"),
        source="util/dict_open.c: dict_open3",
    ),
    Rule(
        name="table-read-only",
        since="2.10",
        example=f"{_SMTPD}error: mysql:/etc/postfix/users.cf map requires O_RDONLY access mode",
        pattern=rf"error: {TABLE} map (?:requires O_RDONLY access mode|is not allowed for security[ -]sensitive data)",
        words=("error",),
        build=health("map_error"),
        source="util/dict_surrogate.c: dict_surrogate",
    ),
    Rule(
        name="table-older",
        since="2.10",
        example=f"{_SMTPD}warning: database /etc/postfix/access.db is older than source file /etc/postfix/access",
        pattern=r"warning: database (?P<subject>[^ ]++) is older than source file .*",
        words=("warning",),
        build=health("map_error"),
        source="util/dict_db.c, dict_cdb.c, dict_lmdb.c",
    ),
    Rule(
        name="table-changed",
        since="2.10",
        example=f"{_SMTPD}table hash:/etc/postfix/access(0,lock|fold_fix) has changed -- restarting",
        pattern=r"table .{1,500}? has changed -- restarting",
        words=("table",),
        build=housekeeping("table_changed"),
        source="master/*_server.c; smtpd/smtpd.c: pre_accept",
    ),
    Rule(
        name="table-size-limit",
        since="2.11",
        example=f"{_SMTPD}database lmdb:/etc/postfix/access.lmdb: using size limit 33554432 during open",
        pattern=r"database (?:[^ {}]+): (?:using size limit [0-9]++ .*|pausing after MDB_READERS_FULL)",
        words=("database",),
        build=housekeeping("table_size"),
        source="util/dict_lmdb.c: dict_lmdb_notify",
    ),
    Rule(
        name="table-close",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postscreen[304]: close database /var/lib/postfix/postscreen_cache.db: "
        "No such file or directory (possible Berkeley DB bug)",
        pattern=r"close database [^ ]+: .* \(possible Berkeley DB bug\)",
        words=("close",),
        build=housekeeping("table_closed"),
        source="util/dict_db.c: dict_db_close",
    ),
)
