//! What is right and probably not meant.

use super::Case;

pub(super) const WARNINGS: &[Case] = &[
    ("nothing", r#"{ "backends": [{"url": "http://a:1"}] }"#, &[]),
    (
        "retries with one backend",
        r#"{ "retries": 3, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:14  /retries  warning: can never be used: a retry goes to another backend, and there is only one",
        ],
    ),
    (
        "weights that are not used",
        r#"{ "backends": [{"url": "http://a:1"}, {"url": "http://b:1", "weight": 2}] }"#,
        &[
            r#"c.json:1:39  /backends/1  warning: the weight is not used by "round-robin"; did you mean "strategy": "weighted-round-robin"?"#,
        ],
    ),
    (
        "a network with bits too many",
        r#"{ "trusted_proxies": ["10.1.2.3/8"], "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:23  /trusted_proxies/0  warning: "10.1.2.3/8" has bits after the prefix, which mean nothing; taken as "10.0.0.0/8""#,
        ],
    ),
    (
        "a full form without fault",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "api": {"backends": [{"url": "http://b:1"}]}}, "routes": [{"match": {"path_prefix": "/api"}, "pool": "api"}, {"pool": "web"}] }"#,
        &[],
    ),
    ("one pool needs no routes", r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}} }"#, &[]),
    (
        "a route behind one for everything",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web"}, {"match": {"path": "/a"}, "pool": "web"}] }"#,
        &[
            "c.json:1:88  /routes/1  warning: can never be reached: /routes/0, which comes first, takes every request",
        ],
    ),
    (
        "a route behind a wider prefix",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/a"}, "pool": "web"}, {"match": {"path_prefix": "/a/b", "methods": "GET"}, "pool": "web"}, {"match": {"path_prefix": "/ab"}, "pool": "web"}] }"#,
        &[
            "c.json:1:120  /routes/1  warning: can never be reached: /routes/0, which comes first, takes every request that this one is for",
        ],
    ),
    (
        "a route behind a wider host",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"host": "*.example.com"}, "pool": "web"}, {"match": {"host": ["a.example.com", "*.b.example.com"]}, "pool": "web"}, {"match": {"host": ["a.example.com", "example.com"]}, "pool": "web"}] }"#,
        &[
            "c.json:1:124  /routes/1  warning: can never be reached: /routes/0, which comes first, takes every request that this one is for",
        ],
    ),
    (
        "a route behind one that asks for less",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"headers": {"x-beta": true}, "cookies": {"a": "1"}}, "pool": "web"}, {"match": {"headers": {"X-Beta": "1"}, "cookies": {"a": "1", "b": true}}, "pool": "web"}, {"match": {"headers": {"X-Beta": "1"}, "cookies": {"a": "2"}}, "pool": "web"}] }"#,
        &[
            "c.json:1:151  /routes/1  warning: can never be reached: /routes/0, which comes first, takes every request that this one is for",
        ],
    ),
    (
        "a route behind one for the only listener",
        r#"{ "listen": {"name": "a", "address": "127.0.0.1:1"}, "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"listener": "a"}, "pool": "web"}, {"match": {"path": "/a"}, "pool": "web"}] }"#,
        &[
            "c.json:1:167  /routes/1  warning: can never be reached: /routes/0, which comes first, takes every request",
        ],
    ),
    (
        "a pool that nobody uses",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "api": {"backends": [{"url": "http://b:1"}]}}, "routes": [{"pool": "web"}] }"#,
        &[r#"c.json:1:59  /pools/api  warning: no route leads to the pool "api""#],
    ),
    (
        "backends that nobody uses",
        r#"{ "backends": [{"url": "http://a:1"}], "routes": [{"redirect": {"location": "/a"}, "match": {"path": "/b"}}] }"#,
        &[r#"c.json:1:15  /backends  warning: no route leads to the pool "default""#],
    ),
    (
        "retries of a route that cannot be used",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "retries": 1}] }"#,
        &[
            "c.json:1:98  /routes/0/retries  warning: can never be used: a retry goes to another backend, and there is only one",
        ],
    ),
    (
        "statuses that are never tried again",
        r#"{ "retries": 0, "retry_on_status": 503, "backends": [{"url": "http://a:1"}, {"url": "http://b:1"}] }"#,
        &[r#"c.json:1:36  /retry_on_status  warning: can never be used: "retries" is 0"#],
    ),
    (
        "keys that say how nothing is forwarded",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/a"}, "redirect": {"location": "/b{path}"}, "strip_prefix": "/a", "retries": 1, "request_headers": {"remove": "A"}}, {"match": {"path": "/c"}, "respond": {"body": "x"}, "strip_prefix": "/c", "rewrite": "/d", "request_timeout": "1s"}, {"pool": "web"}] }"#,
        &[
            "c.json:1:175  /routes/0/retries  warning: is not used: this route forwards nothing",
            "c.json:1:197  /routes/0/request_headers  warning: is not used: this route forwards nothing",
            "c.json:1:283  /routes/1/strip_prefix  warning: is not used: this route forwards nothing",
            r#"c.json:1:300  /routes/1/rewrite  warning: makes "strip_prefix" useless: it names no {path} to strip anything from"#,
            "c.json:1:300  /routes/1/rewrite  warning: is not used: this route forwards nothing",
            "c.json:1:325  /routes/1/request_timeout  warning: is not used: this route forwards nothing",
        ],
    ),
    (
        "a prefix that is never there",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/api"}, "pool": "web", "strip_prefix": "/v1"}] }"#,
        &[
            r#"c.json:1:137  /routes/0/strip_prefix  warning: no path that this route matches begins with "/v1", so nothing is stripped"#,
        ],
    ),
    (
        "prefixes that may be there",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/api"}, "pool": "web", "strip_prefix": "/api/v1"}, {"match": {"path_prefix": "/v1/"}, "pool": "web", "strip_prefix": "/v1/"}, {"pool": "web", "strip_prefix": "/x"}] }"#,
        &[],
    ),
    (
        "two slashes in a rewrite",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "rewrite": "/v2/{path}"}] }"#,
        &[
            r#"c.json:1:98  /routes/0/rewrite  warning: {path} begins with a slash, so there will be two; did you mean "/v2{path}"?"#,
        ],
    ),
    (
        "a rewrite that forgets what was stripped",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "strip_prefix": "/a", "rewrite": "/b"}] }"#,
        &[
            r#"c.json:1:120  /routes/0/rewrite  warning: makes "strip_prefix" useless: it names no {path} to strip anything from"#,
        ],
    ),
    (
        "a method like GET",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"methods": ["GTE", "PURGE", "M-SEARCH"]}, "pool": "web"}] }"#,
        &[
            r#"c.json:1:94  /routes/0/match/methods/0  warning: "GTE" is an unusual method; did you mean "GET"?"#,
        ],
    ),
    (
        "a network that is denied",
        r#"{ "allow": ["10.1.0.0/16", "192.168.0.0/16"], "deny": "10.0.0.0/8", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:13  /allow/0  warning: 10.1.0.0/16 is inside 10.0.0.0/8, which "deny" lists, and is never served"#,
        ],
    ),
    (
        "a field that is removed and set",
        r#"{ "request_headers": {"remove": ["X-A", "X-B"], "set": {"x-a": "1"}}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:22  /request_headers  warning: X-A is removed and set; "set" alone replaces what was there"#,
        ],
    ),
    (
        "a short token",
        r#"{ "admin": {"address": "0.0.0.0:9900", "token": "secret"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:49  /admin/token  warning: is a token of 6 characters, which can be guessed; make a longer one with: openssl rand -hex 32",
        ],
    ),
    (
        "a format without a log",
        r#"{ "log": {"access": "off", "format": "json"}, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:38  /log/format  warning: is not used: there is no access log; did you mean to add "access": "stdout"?"#,
        ],
    ),
    (
        "a log in a folder that is not there",
        r#"{ "log": {"access": "/no/such/folder/access.log"}, "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:21  /log/access  warning: the folder /no/such/folder is not there, and will not be made"],
    ),
    (
        "one name for two backends",
        r#"{ "pools": {"web": {"backends": [{"name": "a", "url": "http://a:1"}]}, "api": {"backends": [{"name": "a", "url": "http://b:1"}]}}, "routes": [{"match": {"path": "/a"}, "pool": "api"}, {"pool": "web"}] }"#,
        &[
            r#"c.json:1:72  /pools/api  warning: its backend "a" has the name of another server in /pools/web: commands that name it mean both"#,
        ],
    ),
    (
        "one name for one backend in two pools",
        r#"{ "pools": {"web": {"backends": [{"name": "a", "url": "http://a:1"}]}, "api": {"backends": [{"name": "a", "url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "pool": "api"}, {"pool": "web"}] }"#,
        &[],
    ),
    (
        "a redirect to itself",
        r#"{ "routes": [{"match": {"path_prefix": "/a"}, "redirect": {"location": "/a/b"}}, {"match": {"path": "/c"}, "redirect": {"location": "/c{query}"}}] }"#,
        &[
            "c.json:1:14  /routes/0  warning: redirects to a path that it is for: clients would go round in a circle",
            "c.json:1:82  /routes/1  warning: redirects to a path that it is for: clients would go round in a circle",
        ],
    ),
];
