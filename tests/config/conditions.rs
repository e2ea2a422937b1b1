//! Mistakes in the conditions of a route: fields, networks, users, rates, error pages.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "fields that are not a route's to change",
        r#"{ "request_headers": {"remove": ["Connection", "host"], "set": {"Content-Length": "5", "te": "trailers"}, "add": {"Host": "a", "Via": "b"}}, "response_headers": {"set": {"Transfer-Encoding": "chunked", "Host": "a"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:34  /request_headers/remove/0  Connection belongs to the connection or frames the message, and is written by ropewalk alone",
            r#"c.json:1:48  /request_headers/remove/1  a request has exactly one Host, which "set" can replace"#,
            "c.json:1:65  /request_headers/set/Content-Length  Content-Length belongs to the connection or frames the message, and is written by ropewalk alone",
            "c.json:1:88  /request_headers/set/te  TE belongs to the connection or frames the message, and is written by ropewalk alone",
            r#"c.json:1:115  /request_headers/add/Host  a request has exactly one Host, which "set" can replace"#,
            "c.json:1:128  /request_headers/add/Via  Via belongs to the connection or frames the message, and is written by ropewalk alone",
            "c.json:1:171  /response_headers/set/Transfer-Encoding  Transfer-Encoding belongs to the connection or frames the message, and is written by ropewalk alone",
            "c.json:1:203  /response_headers/set/Host  a response has no Host",
        ],
    ),
    (
        "field names and values",
        r#"{ "request_headers": {"remove": ["X A", 5], "set": {"": "a", "X-A": "a\r\nX-B: b", "X-C": 5, "X-D": ["a", "b"]}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:34  /request_headers/remove/0  "X A" is not a field name; write it like "X-Env""#,
            "c.json:1:41  /request_headers/remove/1  5 stands here, where a string belongs",
            r#"c.json:1:53  /request_headers/set/  "" is not a field name; write it like "X-Env""#,
            r#"c.json:1:69  /request_headers/set/X-A  "a\r\nX-B: b" holds a control character, such as a line break"#,
            "c.json:1:91  /request_headers/set/X-C  5 stands here, where a string belongs",
            "c.json:1:101  /request_headers/set/X-D  a list stands here, where a string belongs",
        ],
    ),
    (
        "one field twice",
        r#"{ "response_headers": {"set": {"X-A": "1", "x-a": "2"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:44  /response_headers/set/x-a  x-a is given twice: the case of a field name means nothing",
        ],
    ),
    (
        "changes to fields as a list",
        r#"{ "request_headers": ["X-A"], "response_headers": {"delete": "X-A"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:22  /request_headers  a list stands here, where an object belongs",
            r#"c.json:1:52  /response_headers/delete  unknown key "delete"; allowed here: remove, set, add"#,
        ],
    ),
    (
        "networks that are served",
        r#"{ "allow": [], "deny": ["10.0.0.0/8", "everybody"], "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:12  /allow  the list is empty; leave it out to serve everybody, or write "deny": ["0.0.0.0/0", "::/0"]"#,
            r#"c.json:1:39  /deny/1  "everybody" is not a network; write it like "10.0.0.0/8" or "192.168.1.7""#,
        ],
    ),
    (
        "a password that is no hash",
        r#"{ "basic_auth": {"users": {"ann": "secret", "bob": "$apr1$abc$def", "cid": "$2y$10$abc", "dan": "$6$salt$short", "eve": "$9$a$b", "fay": "$6$rounds=9999999$salt$x"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:35  /basic_auth/users/ann  is not a password hash; make a hash with: openssl passwd -6",
            "c.json:1:52  /basic_auth/users/bob  is an MD5 hash ($apr1$), which is too weak; make a hash with: openssl passwd -6",
            "c.json:1:76  /basic_auth/users/cid  is a bcrypt hash, which is not supported; make a hash with: openssl passwd -6",
            "c.json:1:97  /basic_auth/users/dan  is not a whole password hash; make a hash with: openssl passwd -6",
            "c.json:1:121  /basic_auth/users/eve  is a hash of a kind that is not supported; make a hash with: openssl passwd -6",
            "c.json:1:138  /basic_auth/users/fay  has a number of rounds that is not from 1000 to 100000; make a hash with: openssl passwd -6",
        ],
    ),
    (
        "names of users",
        r#"{ "basic_auth": {"realm": "a\"b", "users": {"a:b": "x", "": "x"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:27  /basic_auth/realm  "a\"b" holds a character that is not plain text"#,
            r#"c.json:1:45  /basic_auth/users/a:b  "a:b" is not a user name: it is empty, or holds a colon"#,
            r#"c.json:1:57  /basic_auth/users/  "" is not a user name: it is empty, or holds a colon"#,
        ],
    ),
    (
        "nobody who may log in",
        r#"{ "basic_auth": {"users": {}}, "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:27  /basic_auth/users  names nobody, so nobody could log in"],
    ),
    (
        "no users",
        r#"{ "basic_auth": {"user": {"ann": "x"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:18  /basic_auth/user  unknown key "user"; did you mean "users"?"#],
    ),
    (
        "a rate without requests",
        r#"{ "rate_limit": {"per": "1m"}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:17  /rate_limit  has no "requests"; write how many there may be, like "requests": 10"#],
    ),
    (
        "rates",
        r#"{ "rate_limit": {"requests": 0, "per": "0s", "burst": 0, "key": "ip"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:30  /rate_limit/requests  0 is not a whole number from 1 to 1000000",
            r#"c.json:1:40  /rate_limit/per  "0s" is too short; the shortest is "1ms""#,
            "c.json:1:55  /rate_limit/burst  0 is not a whole number from 1 to 1000000",
            r#"c.json:1:65  /rate_limit/key  "ip" is unknown; allowed here: client, route"#,
        ],
    ),
    (
        "a rate as a text",
        r#"{ "rate_limit": "10/s", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:17  /rate_limit  "10/s" stands here, where an object belongs"#],
    ),
    (
        "statuses of error pages",
        r#"{ "error_pages": {"200": {"body": "x"}, "5xx": {"body": "x"}, "599-500": {"body": "x"}, "600": {"body": "x"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:19  /error_pages/200  "200" is not an error status; write "502", or "500-599" for a range"#,
            r#"c.json:1:41  /error_pages/5xx  "5xx" is not an error status; write "502", or "500-599" for a range"#,
            r#"c.json:1:63  /error_pages/599-500  "599-500" is not an error status; write "502", or "500-599" for a range"#,
            r#"c.json:1:89  /error_pages/600  "600" is not an error status; write "502", or "500-599" for a range"#,
        ],
    ),
    (
        "error pages that cross",
        r#"{ "error_pages": {"500-520": {"body": "x"}, "510-530": {"body": "y"}, "500-599": {"body": "z"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:45  /error_pages/510-530  crosses /error_pages/500-520: it does not say which page the statuses in both get; let one range hold the other",
        ],
    ),
    (
        "error pages for the same",
        r#"{ "error_pages": {"502": {"body": "x"}, "502-502": {"body": "y"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:41  /error_pages/502-502  crosses /error_pages/502: it does not say which page the statuses in both get; let one range hold the other",
        ],
    ),
    (
        "an error page without a body",
        r#"{ "error_pages": {"502": {"content_type": "text/html"}, "503": "503.html", "504": {"fil": "504.html"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:26  /error_pages/502  has neither "body" nor "file"; give it one of them"#,
            r#"c.json:1:64  /error_pages/503  "503.html" stands here, where an object belongs"#,
            r#"c.json:1:84  /error_pages/504/fil  unknown key "fil"; did you mean "file"?"#,
        ],
    ),
    (
        "an error page that is not there",
        r#"{ "error_pages": {"502": {"file": "no/502.html"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:35  /error_pages/502/file  the file "no/502.html" is not there"#],
    ),
];
