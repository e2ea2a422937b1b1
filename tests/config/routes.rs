//! Mistakes in what routes give.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "no route in routes",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [] }"#,
        &[r#"c.json:1:70  /routes  the list is empty; leave it out, or write [{"pool": "web"}]"#],
    ),
    (
        "routes as an object",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": {"pool": "web"} }"#,
        &["c.json:1:70  /routes  an object stands here, where a list belongs"],
    ),
    (
        "a route that is no object",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": ["web"] }"#,
        &[r#"c.json:1:71  /routes/0  "web" stands here, where an object belongs"#],
    ),
    (
        "an unknown pool",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "api": {"backends": [{"url": "http://b:1"}]}}, "routes": [{"pool": "wbe"}, {"pool": "static"}] }"#,
        &[
            r#"c.json:1:126  /routes/0/pool  there is no pool "wbe"; did you mean "web"?"#,
            r#"c.json:1:143  /routes/1/pool  there is no pool "static"; allowed here: web, api"#,
        ],
    ),
    (
        "a pool where there are none",
        r#"{ "routes": [{"pool": "web"}] }"#,
        &[
            r#"c.json:1:23  /routes/0/pool  there is no pool "web"; write "pools": {"web": {"backends": [...]}}"#,
        ],
    ),
    (
        "a route that gives nothing",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}}] }"#,
        &[r#"c.json:1:71  /routes/0  gives nothing; add one of "pool", "redirect" and "respond""#],
    ),
    (
        "a route that gives two things",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "redirect": {"location": "/a"}}] }"#,
        &[
            r#"c.json:1:99  /routes/0/redirect  "redirect" is one too many: a route gives one thing, and "pool" stands in it already"#,
        ],
    ),
    (
        "a route with a misspelt gift",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pol": "web"}] }"#,
        &[r#"c.json:1:72  /routes/0/pol  unknown key "pol"; did you mean "pool"?"#],
    ),
    (
        "a misspelt key of a route",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "stripPrefix": "/a", "rate_limits": {"requests": 1}, "colour": "red"}] }"#,
        &[
            r#"c.json:1:87  /routes/0/stripPrefix  unknown key "stripPrefix"; did you mean "strip_prefix"?"#,
            r#"c.json:1:108  /routes/0/rate_limits  unknown key "rate_limits"; did you mean "rate_limit"?"#,
            r#"c.json:1:140  /routes/0/colour  unknown key "colour"; allowed here: name, match, pool, redirect, respond, request_timeout, timeouts, retries, limits, strip_prefix, rewrite, request_headers, response_headers, allow, deny, basic_auth, rate_limit, error_pages"#,
        ],
    ),
    (
        "two routes of one name",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"name": "a", "match": {"path": "/a"}, "pool": "web"}, {"name": "a", "pool": "web"}] }"#,
        &[r#"c.json:1:135  /routes/1/name  "a" is already the name of /routes/0; names are unique"#],
    ),
    (
        "a route named like another's place",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "pool": "web"}, {"name": "routes/0", "pool": "web"}] }"#,
        &[r#"c.json:1:122  /routes/1/name  "routes/0" is already the name of /routes/0; names are unique"#],
    ),
    (
        "timeouts that are not a route's",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "timeouts": {"keep_alive": "1s"}, "request_timeout": 5}] }"#,
        &[
            r#"c.json:1:100  /routes/0/timeouts/keep_alive  "keep_alive" is not a matter of one pool or route; set it in /timeouts"#,
            r#"c.json:1:140  /routes/0/request_timeout  5 has no unit; did you mean "5s"?"#,
        ],
    ),
    (
        "limits that are not a route's",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "limits": {"connections": 5, "body": 1024}}] }"#,
        &[
            r#"c.json:1:98  /routes/0/limits/connections  unknown key "connections"; allowed here: body"#,
            r#"c.json:1:124  /routes/0/limits/body  1024 has no unit; did you mean "1KiB"?"#,
        ],
    ),
    (
        "retries of a route",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "retries": "3"}] }"#,
        &[r#"c.json:1:98  /routes/0/retries  "3" is a string; did you mean 3, without quotes?"#],
    ),
    (
        "a prefix to strip",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "strip_prefix": "v1"}] }"#,
        &[r#"c.json:1:103  /routes/0/strip_prefix  "v1" is not a path; did you mean "/v1"?"#],
    ),
    (
        "nothing to strip",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web", "strip_prefix": "/"}] }"#,
        &[r#"c.json:1:103  /routes/0/strip_prefix  "/" strips nothing; leave it out"#],
    ),
    (
        "rewrites",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "pool": "web", "rewrite": "v2{path}"}, {"match": {"path": "/b"}, "pool": "web", "rewrite": ""}, {"match": {"path": "/c"}, "pool": "web", "rewrite": "/c?d=1"}, {"match": {"path": "/d"}, "pool": "web", "rewrite": "/{host}{path}"}] }"#,
        &[
            r#"c.json:1:123  /routes/0/rewrite  "v2{path}" is not a path; did you mean "/v2{path}"?"#,
            r#"c.json:1:188  /routes/1/rewrite  is empty; write it like "/v2{path}""#,
            "c.json:1:245  /routes/2/rewrite  is only a path: the query stays as the client sent it",
            r#"c.json:1:308  /routes/3/rewrite  "{host}" cannot stand here; allowed here: {path}"#,
        ],
    ),
    (
        "no location",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"redirect": {"status": 301}}] }"#,
        &[
            r#"c.json:1:84  /routes/0/redirect  has no "location"; write where to, like "https://{host}{path}{query}""#,
        ],
    ),
    (
        "a redirect as a string",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"redirect": "/new"}] }"#,
        &[
            r#"c.json:1:84  /routes/0/redirect  a string stands here, where an object belongs; did you mean {"location": "/new"}?"#,
        ],
    ),
    (
        "statuses of redirects",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "redirect": {"status": 200, "location": "/b"}}, {"match": {"path": "/c"}, "redirect": {"status": 304, "location": "/b"}}] }"#,
        &[
            "c.json:1:120  /routes/0/redirect/status  200 does not send a client elsewhere; allowed here: 301, 302, 303, 307, 308",
            "c.json:1:194  /routes/1/redirect/status  304 does not send a client elsewhere; allowed here: 301, 302, 303, 307, 308",
        ],
    ),
    (
        "locations",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "redirect": {"location": "new"}}, {"match": {"path": "/b"}, "redirect": {"location": "example.com/b"}}, {"match": {"path": "/c"}, "redirect": {"location": ""}}, {"match": {"path": "/d"}, "redirect": {"location": "ftp://example.com/"}}] }"#,
        &[
            r#"c.json:1:122  /routes/0/redirect/location  "new" is neither a path nor a URL; did you mean "/new"?"#,
            r#"c.json:1:182  /routes/1/redirect/location  "example.com/b" is neither a path nor a URL; did you mean "https://example.com/b"?"#,
            r#"c.json:1:252  /routes/2/redirect/location  is empty; write it like "/new" or "https://{host}{path}{query}""#,
            r#"c.json:1:309  /routes/3/redirect/location  "ftp://example.com/" is neither a path nor a URL; write it like "/new" or "https://{host}{path}{query}""#,
        ],
    ),
    (
        "locations that lead away",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path_prefix": "/a"}, "redirect": {"location": "{path}"}}, {"match": {"path_prefix": "/b"}, "redirect": {"location": "/{path}"}}] }"#,
        &[
            r#"c.json:1:129  /routes/0/redirect/location  lets the client choose the host: a path may begin with two slashes; write it like "https://{host}{path}{query}""#,
            r#"c.json:1:199  /routes/1/redirect/location  lets the client choose the host: a path may begin with two slashes; write it like "https://{host}{path}{query}""#,
        ],
    ),
    (
        "places in locations",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "redirect": {"location": "/a{qeury}"}}, {"match": {"path": "/b"}, "redirect": {"location": "/b{port}"}}, {"match": {"path": "/c"}, "redirect": {"location": "/c{path"}}, {"match": {"path": "/d"}, "redirect": {"location": "/d e"}}] }"#,
        &[
            r#"c.json:1:122  /routes/0/redirect/location  "{qeury}" cannot stand here; did you mean {query}?"#,
            r#"c.json:1:188  /routes/1/redirect/location  "{port}" cannot stand here; allowed here: {host}, {path}, {query}"#,
            "c.json:1:253  /routes/2/redirect/location  has a { without its }",
            "c.json:1:317  /routes/3/redirect/location  holds ' ', which is not allowed in a URL; write its percent-encoding",
        ],
    ),
    (
        "a fixed answer",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"match": {"path": "/a"}, "respond": {"status": 100}}, {"match": {"path": "/b"}, "respond": {"status": 204, "body": "x"}}, {"match": {"path": "/c"}, "respond": {"body": "x", "file": "x.html"}}, {"match": {"path": "/d"}, "respond": {"body": 5}}, {"match": {"path": "/e"}, "respond": "no"}] }"#,
        &[
            "c.json:1:119  /routes/0/respond/status  100 is not a whole number from 200 to 599",
            "c.json:1:174  /routes/1/respond/status  a 204 has no body, and one is given",
            r#"c.json:1:240  /routes/2/respond/body  "body" and "file" (/routes/2/respond/file) are two ways to say the same; keep one of them"#,
            "c.json:1:311  /routes/3/respond/body  5 stands here, where a string belongs",
            r#"c.json:1:353  /routes/4/respond  "no" stands here, where an object belongs"#,
        ],
    ),
    (
        "a media type",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"respond": {"body": "x", "content_type": "html"}}] }"#,
        &[
            r#"c.json:1:113  /routes/0/respond/content_type  "html" is not a media type; write it like "text/html; charset=utf-8""#,
        ],
    ),
    (
        "a file that is not there",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"respond": {"file": "none.html"}}] }"#,
        &[r#"c.json:1:92  /routes/0/respond/file  the file "none.html" is not there"#],
    ),
    (
        "a file that is a folder",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"respond": {"file": "/"}}] }"#,
        &[r#"c.json:1:92  /routes/0/respond/file  the file "/" is not a regular file"#],
    ),
];
