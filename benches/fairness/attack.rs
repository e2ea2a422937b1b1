//! The attacks: each as many connections as it is told, and as fast as the balancer takes it.
//!
//! A thread for each connection. It goes on until the process is ended, and begins again when the
//! balancer closes a connection.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The subcommand that runs [`run`].
pub const COMMAND: &str = "attack";

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: what others see alone.
    None,
    /// An honest upload of stated length.
    UploadFixed,
    /// An honest upload in chunks of 64 KiB.
    UploadChunks,
    /// Chunks of one byte.
    UploadBytes,
    /// Chunks of one byte with 253 bytes of extensions.
    UploadExtensions,
    /// Chunks of sixteen bytes whose sizes have fourteen zeros in front.
    UploadZeros,
    /// An upload to a route that answers without reading it.
    UploadUnread,
    /// A download of stated length.
    DownloadFixed,
    /// A download in chunks of one byte.
    DownloadBytes,
    /// Bytes through a tunnel.
    Tunnel,
    /// Requests one behind the other, without waiting for answers.
    Pipelined,
    /// Heads of 30 KiB in a hundred fields.
    Heads,
    /// Targets of 8 KiB in the spelling that takes most readings.
    Targets,
    /// Wrong passwords from five hundred addresses.
    Passwords,
    /// A thousand requests at a time that take a second, however many connections are asked for.
    Slow,
}

impl Kind {
    pub const ALL: [Self; 15] = [
        Self::None,
        Self::UploadFixed,
        Self::UploadChunks,
        Self::UploadBytes,
        Self::UploadExtensions,
        Self::UploadZeros,
        Self::UploadUnread,
        Self::DownloadFixed,
        Self::DownloadBytes,
        Self::Tunnel,
        Self::Pipelined,
        Self::Heads,
        Self::Targets,
        Self::Passwords,
        Self::Slow,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::UploadFixed => "upload-fixed",
            Self::UploadChunks => "upload-chunks",
            Self::UploadBytes => "upload-bytes",
            Self::UploadExtensions => "upload-extensions",
            Self::UploadZeros => "upload-zeros",
            Self::UploadUnread => "upload-unread",
            Self::DownloadFixed => "download-fixed",
            Self::DownloadBytes => "download-bytes",
            Self::Tunnel => "tunnel",
            Self::Pipelined => "pipelined",
            Self::Heads => "heads",
            Self::Targets => "targets",
            Self::Passwords => "passwords",
            Self::Slow => "slow-requests",
        }
    }

    pub fn from_name(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("{name} is no attack; `--list` prints those there are"))
    }

    /// What a connection sends first, and then again and again.
    fn bytes(self) -> (String, Vec<u8>) {
        let chunked = "POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        let (first, piece): (_, String) = match self {
            Self::None | Self::Slow | Self::Passwords => (String::new(), String::new()),
            Self::UploadFixed => (
                "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000000\r\n\r\n".to_owned(),
                "x".repeat(1 << 20),
            ),
            Self::UploadChunks => (chunked, format!("10000\r\n{}\r\n", "x".repeat(65_536)).repeat(16)),
            Self::UploadBytes => (chunked, "1\r\nx\r\n".repeat(170_000)),
            Self::UploadExtensions => (chunked, format!("1;{}\r\nx\r\n", "e".repeat(253)).repeat(4_000)),
            Self::UploadZeros => {
                (chunked, format!("{}10\r\n{}\r\n", "0".repeat(14), "x".repeat(16)).repeat(20_000))
            }
            Self::UploadUnread => {
                (chunked.replace("/upload", "/none"), format!("10000\r\n{}\r\n", "x".repeat(65_536)))
            }
            Self::DownloadFixed => ("GET /fixed HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), String::new()),
            Self::DownloadBytes => ("GET /chunks HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), String::new()),
            Self::Tunnel => (
                "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    .to_owned(),
                "x".repeat(1 << 20),
            ),
            Self::Pipelined => (String::new(), "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n".repeat(1_000)),
            Self::Heads => {
                let fields: String =
                    (0..96).map(|n| format!("X-Field-{n}: {}\r\n", "v".repeat(290))).collect();
                (String::new(), format!("GET /ok HTTP/1.1\r\nHost: t\r\n{fields}\r\n").repeat(30))
            }
            Self::Targets => {
                let path = "/a%2f%5C;b//".repeat(8_000 / 12);
                (String::new(), format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").repeat(30))
            }
        };
        (first, piece.into_bytes())
    }
}

/// Attacks as told: `KIND CONNECTIONS ADDRESS`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [kind, connections, target] = arguments else { return Err("attack: KIND COUNT ADDRESS".to_owned()) };
    let kind = Kind::from_name(kind)?;
    let connections: usize = connections.parse().map_err(|_| "a bad count")?;
    let target: SocketAddr = target.parse().map_err(|_| "a bad address")?;
    let attackers: Vec<_> = (0..connections)
        .map(|number| {
            thread::spawn(move || {
                loop {
                    // Whatever ends a connection, the next one begins.
                    let _ = match kind {
                        Kind::Passwords => guess(target, number),
                        Kind::Slow if number > 0 => return,
                        Kind::Slow => burst(target),
                        kind => flood(kind, target),
                    };
                    thread::sleep(Duration::from_millis(1));
                }
            })
        })
        .collect();
    attackers.into_iter().for_each(|attacker| drop(attacker.join()));
    Ok(())
}

/// Sends without end, and throws away what comes back.
fn flood(kind: Kind, target: SocketAddr) -> io::Result<()> {
    let (first, piece) = kind.bytes();
    let mut stream = TcpStream::connect(target)?;
    stream.write_all(first.as_bytes())?;
    let mut reader = stream.try_clone()?;
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 256 << 10];
        while matches!(reader.read(&mut buffer), Ok(1..)) {}
        let _ = reader.shutdown(std::net::Shutdown::Both);
    });
    if !piece.is_empty() {
        while stream.write_all(&piece).is_ok() {}
    }
    drop(reading.join());
    Ok(())
}

/// A wrong password from one address after the other.
fn guess(target: SocketAddr, number: usize) -> io::Result<()> {
    for address in 0..500_u16 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let [high, low] = address.to_be_bytes();
        let own = Ipv4Addr::new(127, 9 + u8::try_from(number % 100).unwrap_or(0), high, low.max(1));
        socket.bind(&SocketAddr::new(IpAddr::V4(own), 0).into())?;
        socket.connect(&target.into())?;
        let mut stream = TcpStream::from(socket);
        // "ann:wrong"
        stream.write_all(b"GET /guarded HTTP/1.1\r\nHost: t\r\nAuthorization: Basic YW5uOndyb25n\r\nConnection: close\r\n\r\n")?;
        stream.set_read_timeout(Some(Duration::from_millis(2)))?;
        let _ = stream.read(&mut [0; 1024]);
    }
    Ok(())
}

/// A thousand requests at once that each take the backend a second.
fn burst(target: SocketAddr) -> io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(target)?;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: t\r\n\r\n")?;
        streams.push(stream);
    }
    for stream in &mut streams {
        let _ = stream.read(&mut [0; 1024]);
    }
    Ok(())
}
