//! Client connections that are many and do little: idle ones, slow ones, and a burst.
//!
//! The load generator asks how much a proxy can do; a herd is there for what it has to
//! bear meanwhile. A herd does its own work on a thread of its own, so that the
//! generator's latencies are those of the requests it offers.
//!
//! It must not know what is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk::internal::base::clock;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::response::{Progress, Reader};

/// LIMIT: how long one call on a connection may block.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often slow connections whose time has come are looked for.
const DRIP_EVERY: Duration = Duration::from_millis(2);

/// Connections of one kind.
pub struct Herd {
    streams: Vec<TcpStream>,
}

impl Herd {
    /// Connections that have each had the answer to one request, and stay.
    pub fn idle(target: SocketAddrV4, count: usize, body_bytes: u64) -> io::Result<Self> {
        let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n");
        Self::open(target, count, |stream| {
            stream.write_all(request.as_bytes())?;
            read_answer(stream, body_bytes)
        })
    }

    /// Connections that are in the middle of a request head.
    pub fn slow(target: SocketAddrV4, count: usize) -> io::Result<Self> {
        let start = format!("GET / HTTP/1.1\r\nHost: {target}\r\nX-Slow: ");
        Self::open(target, count, |stream| stream.write_all(start.as_bytes()))
    }

    fn open(
        target: SocketAddrV4,
        count: usize,
        prepare: impl Fn(&mut TcpStream) -> io::Result<()>,
    ) -> io::Result<Self> {
        let connect = || {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(target), PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            prepare(&mut stream)?;
            Ok(stream)
        };
        let streams = std::iter::repeat_with(connect).take(count).collect::<io::Result<_>>()?;
        Ok(Self { streams })
    }

    /// Goes on with the heads, one byte on each connection in every second, evenly spread,
    /// until told to stop.
    pub fn drip(&mut self, stop: &AtomicBool) {
        let start = clock::now();
        let (mut sent, mut next) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let due = (clock::now().since(start).as_secs_f64() * self.streams.len() as f64) as usize;
            for _ in sent..due {
                // One that has been closed meanwhile is found out by `count_open`.
                let _ = self.streams[next].write(b"x");
                next = (next + 1) % self.streams.len();
            }
            sent = due;
            thread::sleep(DRIP_EVERY);
        }
    }

    /// How many of the connections are still as they were: open, and not answered.
    pub fn count_open(&self) -> usize {
        let is_open = |stream: &&TcpStream| {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            matches!(recv(stream, &mut [0_u8; 1], flags), Err(Errno::AGAIN))
        };
        self.streams.iter().filter(is_open).count()
    }
}

/// Sends `count` requests for `path` at once, each on a connection of its own, and returns how
/// long it took until all were answered rightly.
pub fn burst(target: SocketAddrV4, count: usize, path: &str, body_bytes: u64) -> io::Result<Duration> {
    let mut herd = Herd::open(target, count, |_| Ok(()))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let start = clock::now();
    for stream in &mut herd.streams {
        stream.write_all(request.as_bytes())?;
    }
    // One after another: they are all under way, so the last answer is waited for at most once.
    for stream in &mut herd.streams {
        read_answer(stream, body_bytes)?;
    }
    Ok(clock::now().since(start))
}

fn read_answer(stream: &mut TcpStream, body_bytes: u64) -> io::Result<()> {
    let mut reader = Reader::new(body_bytes);
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let progress = reader.take(&buffer[..count]);
        match progress.map_err(|fault| io::Error::other(format!("a wrong answer: {fault:?}")))? {
            Progress::Finished(_) => return Ok(()),
            Progress::Unfinished => {}
        }
    }
}
