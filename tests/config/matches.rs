//! Mistakes in what routes match.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "a misspelt condition",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"hosts": "a.com", "path_prfix": "/a", "method": "GET"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:82  /routes/0/match/hosts  unknown key "hosts"; did you mean "host"?"#,
            r#"c.json:1:100  /routes/0/match/path_prfix  unknown key "path_prfix"; did you mean "path_prefix"?"#,
            r#"c.json:1:120  /routes/0/match/method  unknown key "method"; did you mean "methods"?"#,
        ],
    ),
    (
        "hosts",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"host": ["example.com:8080", "https://example.com/", "*", "a.*.com", "exämple.com", "example.com.", "a b", "::1", 5]}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:91  /routes/0/match/host/0  "example.com:8080" has a port, which is not a part of the host; did you mean "example.com"? ("listener" tells ports apart)"#,
            r#"c.json:1:111  /routes/0/match/host/1  "https://example.com/" is a URL; did you mean "example.com"?"#,
            r#"c.json:1:135  /routes/0/match/host/2  "*" is every host; leave "host" out for that"#,
            r#"c.json:1:140  /routes/0/match/host/3  "a.*.com" has a * that is not its first part; write it like "*.example.com""#,
            r#"c.json:1:151  /routes/0/match/host/4  "exämple.com" is not in the form that clients send; write its ASCII form, which begins with xn--"#,
            r#"c.json:1:166  /routes/0/match/host/5  "example.com." ends in a dot; did you mean "example.com"?"#,
            r#"c.json:1:182  /routes/0/match/host/6  "a b" is not a host; write it like "example.com" or "*.example.com""#,
            r#"c.json:1:189  /routes/0/match/host/7  "::1" stands without brackets; did you mean "[::1]"?"#,
            "c.json:1:196  /routes/0/match/host/8  5 stands here, where a string belongs",
        ],
    ),
    (
        "no host in a list",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"host": []}, "pool": "web"}] }"#,
        &[
            "c.json:1:90  /routes/0/match/host  the list is empty, so nothing would match; leave it out to match everything",
        ],
    ),
    (
        "paths",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "a/b"}, "pool": "web"}] }"#,
        &[r#"c.json:1:90  /routes/0/match/path  "a/b" is not a path; did you mean "/a/b"?"#],
    ),
    (
        "a path with a query",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a?b=c"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "/a?b=c" has a query or a fragment, which are not compared; did you mean "/a"?"#,
        ],
    ),
    (
        "a path that is never asked for",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a/../b//c"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "/a/../b//c" is compared in normal form; did you mean "/b/c"?"#,
        ],
    ),
    (
        "escapes in a path",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/%7Eann/%2f"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "/%7Eann/%2f" is compared in normal form; did you mean "/~ann/"?"#,
        ],
    ),
    (
        "a broken escape in a path",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/100%"}, "pool": "web"}] }"#,
        &[r#"c.json:1:90  /routes/0/match/path  "/100%" has a % that no two hexadecimal digits follow"#],
    ),
    (
        "escapes in a path that are no text",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/%C3%28"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "/%C3%28" has escapes that are not UTF-8, and would match nothing"#,
        ],
    ),
    (
        "a star in a path",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a/*"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "/a/*" is taken as it stands; did you mean "path_prefix": "/a/"?"#,
        ],
    ),
    (
        "a star in a prefix",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/a/*"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:97  /routes/0/match/path_prefix  "/a/*" is a prefix already, without the *; did you mean "/a/"?"#,
        ],
    ),
    (
        "a star in a prefix that does not begin with a slash",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "a/*"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:97  /routes/0/match/path_prefix  "a/*" is a prefix already, without the *; did you mean "/a/"?"#,
        ],
    ),
    (
        "a space in a path",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/a b"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:97  /routes/0/match/path_prefix  "/a b" holds ' ', which never stands in a path; write its percent-encoding"#,
        ],
    ),
    (
        "a path and a prefix",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a", "path_prefix": "/b"}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:90  /routes/0/match/path  "path" and "path_prefix" (/routes/0/match/path_prefix) cannot both be given; keep one of them"#,
        ],
    ),
    (
        "methods",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"methods": ["get", "G T", "CONNECT", 5]}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:94  /routes/0/match/methods/0  "get" never matches, as the case of a method counts; did you mean "GET"?"#,
            r#"c.json:1:101  /routes/0/match/methods/1  "G T" is not a method; write it like "GET""#,
            r#"c.json:1:108  /routes/0/match/methods/2  "CONNECT" is never forwarded"#,
            "c.json:1:119  /routes/0/match/methods/3  5 stands here, where a string belongs",
        ],
    ),
    (
        "fields to match",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"headers": {"X Beta": "1", "Host": "a.com", "Cookie": "a=b", "X-A": "1", "X-E": 1, "X-B": false, "X-C": null, "x-a": true, "X-D": "a\nb"}}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:94  /routes/0/match/headers/X Beta  "X Beta" is not a field name; write it like "X-Beta""#,
            r#"c.json:1:109  /routes/0/match/headers/Host  is matched by "host", which also knows "*.example.com""#,
            r#"c.json:1:126  /routes/0/match/headers/Cookie  is matched by "cookies", one name at a time"#,
            r#"c.json:1:162  /routes/0/match/headers/X-E  1 is a number; did you mean "1", in quotes?"#,
            "c.json:1:172  /routes/0/match/headers/X-B  false is not possible: put a route for those that have it before this one",
            "c.json:1:186  /routes/0/match/headers/X-C  null stands here, where a string or true belongs",
            "c.json:1:192  /routes/0/match/headers/x-a  x-a is given twice: the case of a field name means nothing",
            r#"c.json:1:212  /routes/0/match/headers/X-D  "a\nb" holds a control character, such as a line break"#,
        ],
    ),
    (
        "cookies to match",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"cookies": {"a b": "1", "a": "x;y", "b": 1}}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:94  /routes/0/match/cookies/a b  "a b" is not a cookie name"#,
            r#"c.json:1:111  /routes/0/match/cookies/a  "x;y" holds ';', which never stands in a cookie"#,
            r#"c.json:1:123  /routes/0/match/cookies/b  1 is a number; did you mean "1", in quotes?"#,
        ],
    ),
    (
        "an unknown listener",
        r#"{ "listen": [{"name": "inside", "address": "127.0.0.1:1"}, "127.0.0.1:2"], "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"listener": ["insid", "outside"]}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:168  /routes/0/match/listener/0  there is no listener "insid"; did you mean "inside"?"#,
            r#"c.json:1:177  /routes/0/match/listener/1  there is no listener "outside"; allowed here: inside, 127.0.0.1:2"#,
        ],
    ),
    (
        "a match that is no object",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": "/a", "pool": "web"}] }"#,
        &[r#"c.json:1:81  /routes/0/match  "/a" stands here, where an object belongs"#],
    ),
];
