//! Mistakes in the simple form: the text itself, the top level, backends, health checks.

use super::Case;

pub(super) const ERRORS: &[Case] = &[
    (
        "an empty file",
        "",
        &[
            r#"c.json:1:1  the file is empty; the least it may hold is {"backends": [{"url": "http://127.0.0.1:9001"}]}"#,
        ],
    ),
    (
        "only blanks",
        " \n\t",
        &[
            r#"c.json:1:1  the file is empty; the least it may hold is {"backends": [{"url": "http://127.0.0.1:9001"}]}"#,
        ],
    ),
    (
        "a trailing comma",
        r#"{
  "port": 8080,
}"#,
        &["c.json:3:1  trailing comma: take out the comma before this bracket"],
    ),
    (
        "a trailing comma in a list",
        r#"{ "backends": [ {"url": "http://a:1"}, ] }"#,
        &["c.json:1:40  trailing comma: take out the comma before this bracket"],
    ),
    (
        "a line comment",
        r#"{
  // the port
  "port": 8080
}"#,
        &["c.json:2:3  key must be a string: JSON has no comments; take this one out"],
    ),
    (
        "a hash comment",
        r#"{ "port": 8080, # the port
  "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:17  key must be a string: JSON has no comments; take this one out"],
    ),
    (
        "single quotes",
        "{ 'port': 8080 }",
        &["c.json:1:3  key must be a string: JSON strings stand in double quotes"],
    ),
    (
        "a key without quotes",
        "{ port: 8080 }",
        &[
            "c.json:1:3  key must be a string: a key stands in double quotes, and no comma follows the last one",
        ],
    ),
    (
        "a missing comma",
        r#"{ "port": 8080
  "retries": 1 }"#,
        &["c.json:2:3  expected `,` or `}`: a comma is missing before this"],
    ),
    (
        "a missing bracket",
        r#"{ "backends": [{"url": "http://a:1"}]"#,
        &[
            "c.json:1:37  EOF while parsing an object: the text ends too early; a closing bracket or a closing quote is missing",
        ],
    ),
    (
        "a missing quote",
        r#"{ "strategy": "random,
  "port": 1 }"#,
        &[
            r#"c.json:2:1  control character (\u0000-\u001F) found while parsing a string: a closing quote is missing, or a line break stands inside a string"#,
        ],
    ),
    (
        "two documents",
        r#"{ "backends": [{"url": "http://a:1"}] }
{}"#,
        &[
            "c.json:2:1  trailing characters: the configuration is one object, and something follows its last bracket",
        ],
    ),
    ("not an object", r#"["http://a:1"]"#, &["c.json:1:1  a list stands here, where an object belongs"]),
    (
        "no backends",
        r#"{ "port": 8080 }"#,
        &[r#"c.json:1:1  /backends  is missing; write "backends": [{"url": "http://127.0.0.1:9001"}]"#],
    ),
    (
        "an empty list of backends",
        r#"{ "backends": [] }"#,
        &[r#"c.json:1:15  /backends  the list is empty; write [{"url": "http://127.0.0.1:9001"}]"#],
    ),
    (
        "backends as an object",
        r#"{ "backends": {"url": "http://a:1"} }"#,
        &["c.json:1:15  /backends  an object stands here, where a list belongs"],
    ),
    (
        "backends as strings",
        r#"{ "backends": ["http://a:1", "a:2"] }"#,
        &[
            r#"c.json:1:16  /backends/0  a string stands here, where an object belongs; did you mean {"url": "http://a:1"}?"#,
            r#"c.json:1:30  /backends/1  a string stands here, where an object belongs; write it like {"url": "http://127.0.0.1:9001"} ("a:2" has no scheme; did you mean "http://a:2"?)"#,
        ],
    ),
    (
        "a misspelt key",
        r#"{ "prot": 8080, "Strategy": "random", "requestTimeout": "5s", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:3  /prot  unknown key "prot"; did you mean "port"?"#,
            r#"c.json:1:17  /Strategy  unknown key "Strategy"; did you mean "strategy"?"#,
            r#"c.json:1:39  /requestTimeout  unknown key "requestTimeout"; did you mean "request_timeout"?"#,
        ],
    ),
    (
        "a misspelt key is not missing as well",
        r#"{ "backend": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:3  /backend  unknown key "backend"; did you mean "backends"?"#],
    ),
    (
        "a key like no other",
        r#"{ "backends": [{"url": "http://a:1", "colour": "red"}] }"#,
        &[
            r#"c.json:1:38  /backends/0/colour  unknown key "colour"; allowed here: name, url, weight, max_connections"#,
        ],
    ),
    (
        "a key of a later version",
        r#"{ "tls": {}, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:3  /tls  "tls" is not supported by this version"#],
    ),
    (
        "a listener of a later version",
        r#"{ "listen": [{"address": "0.0.0.0:1", "tls": {}}], "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:39  /listen/0/tls  "tls" is not supported by this version"#],
    ),
    (
        "a key given twice",
        r#"{ "port": 1, "backends": [{"url": "http://a:1"}],
  "port": 2 }"#,
        &[r#"c.json:2:3  /port  "port" is given twice; keep one of them"#],
    ),
    (
        "no scheme",
        r#"{ "backends": [
  {"url": "http://a:1"},
  {"url": "localhost:9001"}
] }"#,
        &[
            r#"c.json:3:11  /backends/1/url  "localhost:9001" has no scheme; did you mean "http://localhost:9001"?"#,
        ],
    ),
    (
        "https",
        r#"{ "backends": [{"url": "https://a"}] }"#,
        &[
            r#"c.json:1:24  /backends/0/url  "https://a": TLS to backends is not supported by this version; use http://"#,
        ],
    ),
    (
        "a path and a password",
        r#"{ "backends": [{"url": "http://a:1/api"}, {"url": "http://me:secret@b:2"}] }"#,
        &[
            r#"c.json:1:24  /backends/0/url  "http://a:1/api" has a path, and a backend is only a host and a port; did you mean "http://a:1"?"#,
            r#"c.json:1:51  /backends/1/url  "http://***@b:2" holds a user name or password, which is not sent to backends; did you mean "http://b:2"?"#,
        ],
    ),
    (
        "a bad port, host and address",
        r#"{ "backends": [{"url": "http://a:70000"}, {"url": "http://a b"}, {"url": "http://300.1.1.1:1"}, {"url": "http://::1:1"}] }"#,
        &[
            r#"c.json:1:24  /backends/0/url  "http://a:70000" has a bad port; a port is a number from 1 to 65535"#,
            r#"c.json:1:51  /backends/1/url  "http://a b" has ' ' in its host; a host is letters, digits, dots and hyphens"#,
            r#"c.json:1:74  /backends/2/url  "http://300.1.1.1:1" is neither a host name nor an IPv4 address, which is four numbers up to 255"#,
            r#"c.json:1:105  /backends/3/url  "http://::1:1" has more than one colon; an IPv6 address goes in brackets, like "http://[::1]:9001""#,
        ],
    ),
    (
        "a url that is no string, or is not there",
        r#"{ "backends": [{"url": 9001}, {"name": "b"}, {"ulr": "http://a:1"}] }"#,
        &[
            "c.json:1:24  /backends/0/url  9001 stands here, where a string belongs",
            r#"c.json:1:31  /backends/1  has no "url"; give it one like "http://127.0.0.1:9001""#,
            r#"c.json:1:47  /backends/2/ulr  unknown key "ulr"; did you mean "url"?"#,
        ],
    ),
    (
        "double urls",
        r#"{ "backends": [{"url": "http://a:1"}, {"name": "b", "url": "http://A:1/"}] }"#,
        &[
            r#"c.json:1:60  /backends/1/url  is the same backend as /backends/0; use "weight" to give one a larger share"#,
        ],
    ),
    (
        "double names",
        r#"{ "backends": [{"name": "x", "url": "http://a:1"}, {"name": "x", "url": "http://b:1"}] }"#,
        &[r#"c.json:1:61  /backends/1/name  "x" is already the name of /backends/0; names are unique"#],
    ),
    (
        "a name that is a default name",
        r#"{ "backends": [{"url": "http://a:1"}, {"name": "a:1", "url": "http://b:1"}] }"#,
        &[r#"c.json:1:48  /backends/1/name  "a:1" is already the name of /backends/0; names are unique"#],
    ),
    (
        "a name with a space",
        r#"{ "backends": [{"name": "my server", "url": "http://a:1"}, {"name": "", "url": "http://b:1"}] }"#,
        &[
            r#"c.json:1:25  /backends/0/name  "my server" is not a name: 1 to 64 visible characters without spaces"#,
            r#"c.json:1:69  /backends/1/name  "" is not a name: 1 to 64 visible characters without spaces"#,
        ],
    ),
    (
        "weights out of range",
        r#"{ "backends": [{"url": "http://a:1", "weight": -1}, {"url": "http://b:1", "weight": 257}, {"url": "http://c:1", "weight": 1.5}, {"url": "http://d:1", "weight": "2"}] }"#,
        &[
            "c.json:1:48  /backends/0/weight  -1 is not a whole number from 0 to 256",
            "c.json:1:85  /backends/1/weight  257 is not a whole number from 0 to 256",
            "c.json:1:123  /backends/2/weight  1.5 is not a whole number from 0 to 256",
            r#"c.json:1:161  /backends/3/weight  "2" is a string; did you mean 2, without quotes?"#,
        ],
    ),
    (
        "all weights 0",
        r#"{ "backends": [{"url": "http://a:1", "weight": 0}, {"url": "http://b:1", "weight": 0}] }"#,
        &["c.json:1:15  /backends  every backend has weight 0, so none would be sent a request"],
    ),
    (
        "a backend that is the balancer",
        r#"{ "port": 8080, "backends": [{"url": "http://localhost:8080"}, {"url": "http://127.0.0.1:8081"}] }"#,
        &[
            "c.json:1:30  /backends/0  is ropewalk's own address 0.0.0.0:8080: requests would go round for ever",
        ],
    ),
    (
        "strategies",
        r#"{ "strategy": "round_robin", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:15  /strategy  "round_robin" is unknown; did you mean "round-robin"?"#],
    ),
    (
        "a strategy that is begun",
        r#"{ "strategy": "least_conn", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:15  /strategy  "least_conn" is unknown; did you mean "least-connections"?"#],
    ),
    (
        "a strategy like no other",
        r#"{ "strategy": "fastest", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:15  /strategy  "fastest" is unknown; allowed here: round-robin, weighted-round-robin, least-connections, random"#,
        ],
    ),
    (
        "a strategy that is no string",
        r#"{ "strategy": null, "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:15  /strategy  null stands here, where a string belongs"],
    ),
    (
        "ports",
        r#"{ "port": "8080", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:11  /port  "8080" is a string; did you mean 8080, without quotes?"#],
    ),
    (
        "a port out of range",
        r#"{ "port": 80800, "backends": [{"url": "http://a:1"}] }"#,
        &["c.json:1:11  /port  80800 is not a whole number from 0 to 65535"],
    ),
    (
        "port and listen",
        r#"{ "port": 8080, "listen": "0.0.0.0:8081", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:11  /port  "port" and "listen" are two ways to say the same; keep one of them"#],
    ),
    (
        "addresses",
        r#"{ "listen": [8080, ":8081", "localhost:8082", "127.0.0.1", "http://127.0.0.1:8083/", "example.com:80", true, {}], "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:14  /listen/0  8080 is not an IP address and a port; did you mean "0.0.0.0:8080"?"#,
            r#"c.json:1:20  /listen/1  ":8081" is not an IP address and a port; did you mean "0.0.0.0:8081"?"#,
            r#"c.json:1:29  /listen/2  "localhost:8082" is not an IP address and a port; did you mean "127.0.0.1:8082"?"#,
            r#"c.json:1:47  /listen/3  "127.0.0.1" is not an IP address and a port; did you mean "127.0.0.1:8080"?"#,
            r#"c.json:1:60  /listen/4  "http://127.0.0.1:8083/" is not an IP address and a port; did you mean "127.0.0.1:8083"?"#,
            r#"c.json:1:86  /listen/5  "example.com:80" is not an IP address and a port; write it like "0.0.0.0:8080" or "[::]:8080""#,
            r#"c.json:1:104  /listen/6  true stands here, where an address like "0.0.0.0:8080" belongs"#,
            r#"c.json:1:110  /listen/7  has no "address"; give it one like "0.0.0.0:8080""#,
        ],
    ),
    (
        "no address at all",
        r#"{ "listen": [], "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:13  /listen  the list is empty; write an address like "0.0.0.0:8080""#],
    ),
    (
        "a port used twice",
        r#"{ "listen": ["127.0.0.1:1", "0.0.0.0:1", {"address": "127.0.0.1:1"}], "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:29  /listen/1  port 1 is used twice: 127.0.0.1:1 and 0.0.0.0:1 overlap",
            "c.json:1:42  /listen/2  127.0.0.1:1 is listed twice",
        ],
    ),
    (
        "durations",
        r#"{ "request_timeout": 30, "timeouts": { "head": "10", "connect": "2S", "drain": "soon", "keep_alive": "0s", "write_idle": "100years", "body_idle": "5us", "tunnel_idle": [] }, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:22  /request_timeout  30 has no unit; did you mean "30s"?"#,
            r#"c.json:1:48  /timeouts/head  "10" is not a duration; did you mean "10s"?"#,
            r#"c.json:1:65  /timeouts/connect  "2S" is not a duration; did you mean "2s"?"#,
            r#"c.json:1:80  /timeouts/drain  "soon" is not a duration; write a number and a unit, like "250ms", "5s" or "1m""#,
            r#"c.json:1:102  /timeouts/keep_alive  "0s" is too short; the shortest is "1ms""#,
            r#"c.json:1:122  /timeouts/write_idle  "100years" is too long; the longest is "30days""#,
            r#"c.json:1:147  /timeouts/body_idle  "5us" is too short; the shortest is "1ms""#,
            r#"c.json:1:169  /timeouts/tunnel_idle  a list stands here, where a duration like "5s" belongs"#,
        ],
    ),
    (
        "a timeout like no other",
        r#"{ "timeouts": { "conect": "2s", "quux": "2s" }, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:17  /timeouts/conect  unknown key "conect"; did you mean "connect"?"#,
            r#"c.json:1:33  /timeouts/quux  unknown key "quux"; allowed here: head, keep_alive, body_idle, body_grace, queue, connect, response_head, upstream_idle, write_idle, tunnel_idle, upstream_keep_alive, drain"#,
        ],
    ),
    (
        "sizes",
        r#"{ "limits": { "head": "512B", "body": 1048576 }, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:23  /limits/head  "512B" is not a size from "1KiB" to "1MiB""#,
            r#"c.json:1:39  /limits/body  1048576 has no unit; did you mean "1MiB"?"#,
        ],
    ),
    (
        "more sizes",
        r#"{ "limits": { "head": "32k", "body": "10 megabytes", "connections": 0, "requests_per_connection": "1000", "upstream_idle": -1 }, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:23  /limits/head  "32k" is not a size; did you mean "32KiB"?"#,
            r#"c.json:1:38  /limits/body  "10 megabytes" is not a size; write a whole number and a unit, like "512B", "16KiB" or "10MB""#,
            "c.json:1:69  /limits/connections  0 is not a whole number from 1 to 1000000",
            r#"c.json:1:99  /limits/requests_per_connection  "1000" is a string; did you mean 1000, without quotes?"#,
            "c.json:1:124  /limits/upstream_idle  -1 is not a whole number from 0 to 65535",
        ],
    ),
    (
        "numbers",
        r#"{ "workers": 0, "retries": 11, "backends": [{"url": "http://a:1"}] }"#,
        &[
            "c.json:1:14  /workers  0 is not a whole number from 1 to 256",
            "c.json:1:28  /retries  11 is not a whole number from 0 to 10",
        ],
    ),
    (
        "log levels",
        r#"{ "log": { "level": "warning" }, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:21  /log/level  "warning" is unknown; did you mean "warn"?"#],
    ),
    (
        "a log level alone",
        r#"{ "log": "debug", "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:10  /log  "debug" stands here, where an object belongs; did you mean {"level": "debug"}?"#,
        ],
    ),
    (
        "networks",
        r#"{ "trusted_proxies": ["10.0.0.0/33", "localhost", 10], "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:23  /trusted_proxies/0  "10.0.0.0/33" is not a network; write it like "10.0.0.0/8" or "192.168.1.7""#,
            r#"c.json:1:38  /trusted_proxies/1  "localhost" is not a network; write it like "10.0.0.0/8" or "192.168.1.7""#,
            "c.json:1:51  /trusted_proxies/2  10 stands here, where a string belongs",
        ],
    ),
    (
        "a health check that takes too long",
        r#"{ "health_check": { "interval": "2s", "timeout": "2s" }, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:50  /health_check/timeout  "2s" is not shorter than the interval, 2s"#],
    ),
    (
        "a health timeout beyond the usual interval",
        r#"{ "health_check": { "timeout": "10s" }, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:32  /health_check/timeout  "10s" is not shorter than the interval, 5s"#],
    ),
    (
        "a path for a dial",
        r#"{ "health_check": { "type": "tcp", "path": "/health" }, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:44  /health_check/path  means nothing to a "tcp" check; did you mean "type": "http"?"#],
    ),
    (
        "health words",
        r#"{ "health_check": false, "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:19  /health_check  false is not a health check; did you mean "off"?"#],
    ),
    (
        "more health words",
        r#"{ "health_check": "http", "backends": [{"url": "http://a:1"}] }"#,
        &[r#"c.json:1:19  /health_check  "http" is not a health check; did you mean {"type": "http"}?"#],
    ),
    (
        "health values",
        r#"{ "health_check": { "type": "https", "path": "health", "host": "a b", "expect_status": [200, 99, "300-200", "2xx"], "healthy_after": 0, "port": 0 }, "backends": [{"url": "http://a:1"}] }"#,
        &[
            r#"c.json:1:29  /health_check/type  "https" is unknown; did you mean "http"?"#,
            r#"c.json:1:46  /health_check/path  "health" is not a path; did you mean "/health"?"#,
            r#"c.json:1:64  /health_check/host  "a b" is not a host; write it like "example.com""#,
            r#"c.json:1:94  /health_check/expect_status/1  99 is not a status; write 204, or "200-399" for a range"#,
            r#"c.json:1:98  /health_check/expect_status/2  "300-200" is not a status; write 204, or "200-399" for a range"#,
            r#"c.json:1:109  /health_check/expect_status/3  "2xx" is not a status; write 204, or "200-399" for a range"#,
            "c.json:1:134  /health_check/healthy_after  0 is not a whole number from 1 to 1000",
            "c.json:1:145  /health_check/port  0 is not a whole number from 1 to 65535",
        ],
    ),
    (
        "everything at once, in the order of the text",
        r#"{
  "prot": 8080,
  "strategy": "robin",
  "retries": "2",
  "health_check": { "intervall": "5s" },
  "backends": [
    { "url": "http://127.0.0.1:9001" },
    { "url": "localhost:9001", "wieght": 2 }
  ]
}"#,
        &[
            r#"c.json:2:3  /prot  unknown key "prot"; did you mean "port"?"#,
            r#"c.json:3:15  /strategy  "robin" is unknown; allowed here: round-robin, weighted-round-robin, least-connections, random"#,
            r#"c.json:4:14  /retries  "2" is a string; did you mean 2, without quotes?"#,
            r#"c.json:5:21  /health_check/intervall  unknown key "intervall"; did you mean "interval"?"#,
            r#"c.json:8:14  /backends/1/url  "localhost:9001" has no scheme; did you mean "http://localhost:9001"?"#,
            r#"c.json:8:32  /backends/1/wieght  unknown key "wieght"; did you mean "weight"?"#,
        ],
    ),
];
