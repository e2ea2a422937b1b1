//! Mistakes in pools, and in mixing the two forms.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "a key of one pool beside pools",
        r#"{ "strategy": "random", "retries": 1, "pools": {"web": {"backends": [{"url": "http://a:1"}]}} }"#,
        &[
            r#"c.json:1:15  /strategy  "strategy" is about one pool, and /pools (1:48) lists pools; move it into those that it is for"#,
            r#"c.json:1:36  /retries  "retries" is about one pool, and /pools (1:48) lists pools; move it into those that it is for"#,
        ],
    ),
    (
        "backends beside pools",
        r#"{ "backends": [{"url": "http://a:1"}],
  "pools": {"web": {"backends": [{"url": "http://a:1"}]}} }"#,
        &[
            r#"c.json:1:15  /backends  "backends" is about one pool, and /pools (2:12) lists pools; move it into those that it is for"#,
        ],
    ),
    (
        "a key of one route beside routes",
        r#"{ "backends": [{"url": "http://a:1"}], "allow": "10.0.0.0/8", "rate_limit": {"requests": 1}, "routes": [{"pool": "default"}] }"#,
        &[
            r#"c.json:1:49  /allow  "allow" is about one route, and /routes (1:104) lists routes; move it into those that it is for"#,
            r#"c.json:1:77  /rate_limit  "rate_limit" is about one route, and /routes (1:104) lists routes; move it into those that it is for"#,
        ],
    ),
    (
        "no pool in pools",
        r#"{ "pools": {} }"#,
        &[
            r#"c.json:1:12  /pools  there is no pool in it; write {"web": {"backends": [{"url": "http://127.0.0.1:9001"}]}}"#,
        ],
    ),
    (
        "pools as a list",
        r#"{ "pools": [{"name": "web"}], "routes": [{"pool": "web"}] }"#,
        &["c.json:1:12  /pools  a list stands here, where an object belongs"],
    ),
    (
        "a pool without backends",
        r#"{ "pools": {"web": {"strategy": "random"}}, "routes": [{"pool": "web"}] }"#,
        &[
            r#"c.json:1:20  /pools/web/backends  is missing; write "backends": [{"url": "http://127.0.0.1:9001"}]"#,
        ],
    ),
    (
        "a pool with a bad name",
        r#"{ "pools": {"my pool": {"backends": [{"url": "http://a:1"}]}} }"#,
        &[
            r#"c.json:1:13  /pools/my pool  "my pool" is not a name: 1 to 64 visible characters without spaces"#,
        ],
    ),
    (
        "a pool given twice",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "web": {"backends": [{"url": "http://b:1"}]}} }"#,
        &[r#"c.json:1:59  /pools/web  "web" is given twice; keep one of them"#],
    ),
    (
        "a misspelt key of a pool",
        r#"{ "pools": {"web": {"backend": [{"url": "http://a:1"}], "retry": 1}} }"#,
        &[
            r#"c.json:1:21  /pools/web/backend  unknown key "backend"; did you mean "backends"?"#,
            r#"c.json:1:57  /pools/web/retry  unknown key "retry"; did you mean "retry_on_status"?"#,
        ],
    ),
    (
        "a mistake in each of two pools and in a route",
        r#"{
  "pools": {
    "web": { "strategy": "rand", "backends": [{"url": "a:1"}] },
    "api": { "retries": 99, "backends": [{"url": "http://b:1"}] }
  },
  "routes": [
    { "match": { "path": "v1" }, "pool": "aip" },
    { "pool": "web" }
  ]
}"#,
        &[
            r#"c.json:3:26  /pools/web/strategy  "rand" is unknown; did you mean "random"?"#,
            r#"c.json:3:55  /pools/web/backends/0/url  "a:1" has no scheme; did you mean "http://a:1"?"#,
            "c.json:4:25  /pools/api/retries  99 is not a whole number from 0 to 10",
            r#"c.json:7:26  /routes/0/match/path  "v1" is not a path; did you mean "/v1"?"#,
            r#"c.json:7:42  /routes/0/pool  there is no pool "aip"; did you mean "api"?"#,
        ],
    ),
    (
        "timeouts that are not a pool's",
        r#"{ "pools": {"web": {"timeouts": {"head": "1s", "drain": "1s", "conect": "1s"}, "backends": [{"url": "http://a:1"}]}} }"#,
        &[
            r#"c.json:1:34  /pools/web/timeouts/head  "head" is not a matter of one pool or route; set it in /timeouts"#,
            r#"c.json:1:48  /pools/web/timeouts/drain  "drain" is not a matter of one pool or route; set it in /timeouts"#,
            r#"c.json:1:63  /pools/web/timeouts/conect  unknown key "conect"; did you mean "connect"?"#,
        ],
    ),
    (
        "several pools and no routes",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "api": {"backends": [{"url": "http://b:1"}]}} }"#,
        &[
            r#"c.json:1:1  /routes  is missing: there are several pools, and nothing says which requests go where; write "routes": [{"pool": "..."}]"#,
        ],
    ),
    (
        "misspelt routes",
        r#"{ "pools": {"web": {"backends": [{"url": "http://a:1"}]}, "api": {"backends": [{"url": "http://b:1"}]}}, "route": [{"pool": "web"}] }"#,
        &[r#"c.json:1:106  /route  unknown key "route"; did you mean "routes"?"#],
    ),
    (
        "misspelt pools",
        r#"{ "pool": {"web": {"backends": [{"url": "http://a:1"}]}}, "routes": [{"pool": "web"}] }"#,
        &[r#"c.json:1:3  /pool  unknown key "pool"; did you mean "pools"?"#],
    ),
    (
        "a backend of a pool that is the balancer",
        r#"{ "port": 8080, "pools": {"web": {"backends": [{"url": "http://127.0.0.1:8080"}]}} }"#,
        &[
            "c.json:1:48  /pools/web/backends/0  is ropewalk's own address 0.0.0.0:8080: requests would go round for ever",
        ],
    ),
];
