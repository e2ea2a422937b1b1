//! Mistakes around pools and routes: admin listener, logs, names of listeners.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "an admin listener for everybody",
        r#"{ "admin": "0.0.0.0:9900", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:12  /admin  0.0.0.0:9900 can be reached from other machines, and nothing is asked of whoever calls; write "127.0.0.1:9900", or {"address": "0.0.0.0:9900", "token_file": "token"}"#,
        ],
    ),
    (
        "an admin listener for everybody, as an object",
        r#"{ "admin": {"address": "10.0.0.1:9900"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:24  /admin/address  10.0.0.1:9900 can be reached from other machines, and nothing is asked of whoever calls; write "127.0.0.1:9900", or {"address": "10.0.0.1:9900", "token_file": "token"}"#,
        ],
    ),
    (
        "a port alone for the admin listener",
        r#"{ "admin": 9900, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:12  /admin  9900 is not an IP address and a port; did you mean "127.0.0.1:9900"?"#],
    ),
    (
        "addresses of the admin listener",
        r#"{ "admin": "localhost", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:12  /admin  "localhost" is not an IP address and a port; did you mean "127.0.0.1:9900"?"#,
        ],
    ),
    (
        "an admin listener on the clients' port",
        r#"{ "port": 8080, "admin": "127.0.0.1:8080", "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:26  /admin  port 8080 is used twice: clients connect to 0.0.0.0:8080, and the admin listener needs an address of its own",
        ],
    ),
    (
        "an admin listener without address",
        r#"{ "admin": {"token": "0123456789abcdef"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:12  /admin  has no "address"; give it one like "127.0.0.1:9900""#],
    ),
    (
        "tokens",
        r#"{ "admin": {"address": "127.0.0.1:9900", "token": "two words"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:51  /admin/token  is not a token: one word of visible characters; make one with: openssl rand -hex 32",
        ],
    ),
    (
        "a token twice",
        r#"{ "admin": {"address": "127.0.0.1:9900", "token": "0123456789abcdef", "token_file": "t"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:51  /admin/token  "token" and "token_file" (/admin/token_file) are two ways to say the same; keep one of them"#,
        ],
    ),
    (
        "a token that is not there",
        r#"{ "admin": {"address": "0.0.0.0:9900", "token_file": "no-token"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:54  /admin/token_file  the file "no-token" is not there"#],
    ),
    (
        "a misspelt key of the admin listener",
        r#"{ "admin": {"adress": "127.0.0.1:9900"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:13  /admin/adress  unknown key "adress"; did you mean "address"?"#],
    ),
    (
        "places for the access log",
        r#"{ "log": {"access": true}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:21  /log/access  true is not a place for an access log; did you mean "stdout"?"#],
    ),
    (
        "a place for the access log in capitals",
        r#"{ "log": {"access": "STDOUT", "format": "clf"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:21  /log/access  "STDOUT" is not a place for an access log; did you mean "stdout" or "off"?"#,
            r#"c.json:1:41  /log/format  "clf" is unknown; allowed here: json, combined"#,
        ],
    ),
    (
        "an access log that is a folder",
        r#"{ "log": {"access": "/"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:21  /log/access  "/" is a folder; name a file in it"#],
    ),
    (
        "two listeners of one name",
        r#"{ "listen": [{"name": "a", "address": "127.0.0.1:1"}, {"name": "a", "address": "127.0.0.1:2"}], "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:64  /listen/1/name  "a" is already the name of a listener; names are unique"#],
    ),
    (
        "a listener with a bad name",
        r#"{ "listen": {"name": "a b", "address": "127.0.0.1:1"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:22  /listen/name  "a b" is not a name: 1 to 64 visible characters without spaces"#],
    ),
    (
        "a schema that is no text",
        r#"{ "$schema": 5, "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:14  /$schema  5 stands here, where a string belongs"],
    ),
];
